/** io.systemd.Login in varlink's interface definition language, as far as it is served. */
import { SESSION_CLASSES, SESSION_TYPES } from "../../sd-login/index.ts";

export const LOGIN_INTERFACE = "io.systemd.Login";

/** Varlink's names have no dashes: `user-early` is `user_early`. */
export const toVarlinkName = (name: string) => name.replaceAll("-", "_");
export const fromVarlinkName = (name: string) => name.replaceAll("_", "-");

const classes = SESSION_CLASSES.map(toVarlinkName);

export const LOGIN_DESCRIPTION = `# Login sessions
interface ${LOGIN_INTERFACE}

# A process. What is given beside its number must be right of it.
type ProcessId (
  pid: int,
  # The inode number of a pidfd of it
  pidfdId: ?int,
  # The boot that it is of
  bootId: ?string
)

type SessionType (${SESSION_TYPES.join(", ")})

type SessionClass (
  ${classes.join(",\n  ")}
)

# Makes a session. For root only.
method CreateSession(
  UID: int,
  # The session's leader; if null the caller
  PID: ?ProcessId,
  # The PAM service
  Service: ?string,
  Type: SessionType,
  Class: SessionClass,
  Desktop: ?string,
  Seat: ?string,
  VTNr: ?int,
  TTY: ?string,
  # The X11 display
  Display: ?string,
  # If null, whether a remote user or host is given
  Remote: ?bool,
  RemoteUser: ?string,
  RemoteHost: ?string,
  # Devices that it may open wherever it is: "render" for those that udev has tagged xaccess-render
  ExtraDeviceAccess: ?[]string
) -> (
  Id: string,
  RuntimePath: string,
  UID: int,
  Seat: ?string,
  VTNr: ?int,
  Type: SessionType,
  Class: SessionClass
)

# Ends a session, from inside of it only. If null or "self" the caller's
method ReleaseSession(Id: ?string) -> ()

error NoSuchSession ()
error NoSuchSeat ()
# The leader is in a session already
error AlreadySessionMember ()
error VirtualTerminalAlreadyTaken ()
error TooManySessions ()
# The session's scope could not be made
error UnitAllocationFailed ()
# The caller is gone, or cannot be seen from here
error NoSessionPIDFD ()
`;
