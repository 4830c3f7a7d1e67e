/** io.systemd.Login in varlink's interface definition language: systemd 262's, in words of our own. */
import { SESSION_CLASSES, SESSION_TYPES } from "../../sd-login/index.ts";
import { INHIBIT_MODES, INHIBIT_WHATS } from "../inhibitors/inhibitor.ts";

export const LOGIN_INTERFACE = "io.systemd.Login";

/** Varlink's names have no dashes: `user-early` is `user_early`. */
export const toVarlinkName = (name: string) => name.replaceAll("-", "_");
export const fromVarlinkName = (name: string) => name.replaceAll("_", "-");

const words = (names: readonly string[]) => names.map(toVarlinkName).join(",\n  ");

/** What is said of a session by who makes it, and to who asks for it. */
const SESSION_FIELDS = `UID: int,
  # The leader; of a new session the caller if null
  PID: ?ProcessId,
  Type: SessionType,
  Class: SessionClass,
  # The PAM service
  Service: ?string,
  Desktop: ?string,
  Seat: ?string,
  VTNr: ?int,
  TTY: ?string,
  # The X11 display
  Display: ?string,
  # Of a new session: if null, whether a remote user or host is given
  Remote: ?bool,
  RemoteHost: ?string,
  RemoteUser: ?string,
  # Devices that it may open wherever it is: "render" for those that udev has tagged xaccess-render
  ExtraDeviceAccess: ?[]string`;

const TYPES = `# A process. What is given beside its number must be right of it.
type ProcessId (
  pid: int,
  # The inode number of a pidfd of it
  pidfdId: ?int,
  # The boot that it is of
  bootId: ?string
)

# A moment in microseconds, since the epoch and since boot
type Timestamp (realtime: ?int, monotonic: ?int)

type SessionType (
  ${words(SESSION_TYPES)}
)

type SessionClass (
  ${words(SESSION_CLASSES)}
)

type InhibitMode (
  ${words(INHIBIT_MODES)}
)

type InhibitWhat (
  ${words(INHIBIT_WHATS)}
)

type SessionContext (
  ${SESSION_FIELDS}
)

type SessionRuntime (
  Id: string,
  # The name of its cgroup
  Scope: ?string,
  # The kernel's audit session
  Audit: ?int,
  # When it began
  Timestamp: ?Timestamp,
  State: string,
  # In the foreground of its seat
  Active: bool,
  IdleHint: bool,
  # Only of what is idle
  IdleSinceHint: ?Timestamp,
  LockedHint: bool,
  CanIdle: bool,
  CanLock: bool
)

type UserContext (
  UID: int,
  GID: int,
  Name: string,
  Linger: bool,
  # Never there: nobody manages services of a user
  Service: ?string,
  # The name of its cgroup
  Slice: ?string,
  RuntimePath: ?string
)

type UserRuntime (
  # The session that stands for the user
  Display: ?string,
  State: ?string,
  Sessions: ?[]string,
  # When the first of them began
  Timestamp: ?Timestamp,
  IdleHint: bool,
  IdleSinceHint: ?Timestamp
)

type SeatContext (Id: string)

type SeatRuntime (
  # The one in the foreground
  ActiveSession: ?string,
  Sessions: ?[]string,
  # Whether it has virtual terminals
  CanTTY: bool,
  CanGraphical: bool,
  IdleHint: bool,
  IdleSinceHint: ?Timestamp
)

type InhibitorContext (
  Id: string,
  What: []InhibitWhat,
  Who: ?string,
  Why: ?string,
  Mode: InhibitMode,
  UID: int
)

type InhibitorRuntime (
  PID: ?ProcessId,
  # When it was taken
  Since: ?Timestamp
)
`;

const METHODS = `# Makes a session. For root only.
method CreateSession(
  ${SESSION_FIELDS}
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

# The session of that name, or that the process is in, or both; without either all of them
# [Supports 'more' flag]
method ListSessions(
  # "self" is the caller's, "auto" that one or its user's display session
  Id: ?string,
  PID: ?ProcessId
) -> (context: SessionContext, runtime: SessionRuntime)

# The user of that uid, or in whose slice the process is, or both; without either all of them
# [Supports 'more' flag]
method ListUsers(UID: ?int, PID: ?ProcessId) -> (context: UserContext, runtime: UserRuntime)

# The seat of that name; without one all of them
# [Supports 'more' flag]
method ListSeats(
  # "self" and "auto" are the seat of the session that those name
  Id: ?string
) -> (context: SeatContext, runtime: SeatRuntime)

# All inhibitors
# [Requires 'more' flag]
method ListInhibitors() -> (context: InhibitorContext, runtime: InhibitorRuntime)
`;

export const LOGIN_DESCRIPTION = `# Login sessions
interface ${LOGIN_INTERFACE}

${TYPES}
${METHODS}
error NoSuchSession ()
error NoSuchSeat ()
error NoSuchUser ()
# Never: there is no method that names one
error NoSuchInhibitor ()
# The leader is in a session already
error AlreadySessionMember ()
error VirtualTerminalAlreadyTaken ()
error TooManySessions ()
# The session's scope could not be made
error UnitAllocationFailed ()
# The caller is gone, or cannot be seen from here
error NoSessionPIDFD ()
`;
