/** login1's own D-Bus errors; see org.freedesktop.login1(5). */
import { BusError } from "../../dbus/index.ts";

/** The ends of the D-Bus specification's errors that sd-bus takes an errno for. */
const STANDARD: Readonly<Record<string, string>> = {
  EACCES: "AccessDenied",
  EEXIST: "FileExists",
  EINVAL: "InvalidArgs",
  EIO: "IOError",
  ENOBUFS: "LimitsExceeded",
  ENOENT: "FileNotFound",
  ENOMEM: "NoMemory",
  EOPNOTSUPP: "NotSupported",
  EPERM: "AccessDenied",
  ESRCH: "UnixProcessIdUnknown",
  ETIMEDOUT: "Timeout",
};

const login1 = (name: string) => (message: string) =>
  new BusError(`org.freedesktop.login1.${name}`, message);

export const login1Errors = {
  noSuchSession: (id: string) => login1("NoSuchSession")(`No session '${id}' known`),
  noSuchUser: (uid: number) => login1("NoSuchUser")(`User ID ${uid} is not logged in or lingering`),
  noSuchSeat: (id: string) => login1("NoSuchSeat")(`No seat '${id}' known`),
  sessionHasNoSeat: (id: string) => login1("NoSuchSeat")(`Session '${id}' has no seat.`),
  sessionNotOnSeat: (id: string, seat: string) =>
    login1("SessionNotOnSeat")(`Session ${id} not on seat ${seat}`),
  noSessionForPid: (pid: number) =>
    login1("NoSessionForPID")(`PID ${pid} does not belong to any known session`),
  noUserForPid: (pid: number) =>
    login1("NoUserForPID")(`PID ${pid} does not belong to any known logged in user`),
  operationInProgress: login1("OperationInProgress"),
  blockedByInhibitor: login1("BlockedByInhibitorLock"),
  sleepNotSupported: login1("SleepVerbNotSupported"),
  sessionBusy: login1("SessionBusy"),
  notInControl: login1("NotInControl"),
  deviceIsTaken: login1("DeviceIsTaken"),
  deviceNotTaken: login1("DeviceNotTaken"),
  notYourDevice: login1("NotYourDevice"),
  /** What sd-bus makes of an errno: the D-Bus error that stands for it, or else one of its name. */
  system(code: string, message: string): BusError {
    const standard = STANDARD[code];
    if (standard === undefined) return new BusError(`System.Error.${code}`, message);
    return new BusError(`org.freedesktop.DBus.Error.${standard}`, message);
  },
};
