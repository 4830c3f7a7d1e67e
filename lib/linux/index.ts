/**
 * Linux: what Bun lacks of the C library, and the kernel's files. Nothing else calls C. What other parts
 * of the program use is named here, and only that.
 */

export { setUserAccess } from "./devices/acl.ts";
export { deviceNodeAt, deviceNodeOf } from "./devices/device-node.ts";
export { majorMinor } from "./devices/device-number.ts";
export {
  EV_KEY,
  EV_SW,
  EV_SYN,
  hasCapability,
  parseInputEvents,
  SYN_DROPPED,
  setEventMask,
  switchesOn,
} from "./devices/evdev.ts";
export { watchUevents } from "./devices/uevent.ts";
export { atRealtime } from "./events/alarm.ts";
export { DescriptorWatch, isSameOpenFile } from "./events/descriptor-watch.ts";
export {
  IN_ATTRIB,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_MODIFY,
  IN_MOVE_SELF,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  watchPath,
} from "./events/inotify.ts";
export { hasHungUp, Patience, waitForHangUp, waitUntilReadable } from "./events/poll.ts";
export { onReadiness, reportFailures } from "./events/readiness.ts";
export { describeErrno, errno, hasCode, messageOf, SystemError } from "./ffi/errors.ts";
export {
  changeOwner,
  changeOwnerOf,
  close,
  closeOnExecFrom,
  createPipe,
  createPlaceholder,
  duplicate,
  type Fd,
  ioctl,
  ioctlBytes,
  makeFifo,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  open,
  readSome,
  signalAsync,
} from "./ffi/fd.ts";
export { removeFile, writeFileAtomically } from "./files/atomic-file.ts";
export { setImmutable } from "./files/attributes.ts";
export { characterDeviceOf, isSafeToPoll } from "./files/foreign-fd.ts";
export { lockFile } from "./files/lock.ts";
export {
  deviceOfMount,
  folderStatus,
  type Mount,
  MS_NODEV,
  MS_NOSUID,
  mount,
  mounts,
  mountsAt,
  unmount,
} from "./files/mount.ts";
export { Cgroup, cgroupOf, cgroupRoot, mostTasks } from "./processes/cgroup.ts";
export { commandLines } from "./processes/command-lines.ts";
export { releaseExecutable } from "./processes/executable-pages.ts";
export { execute, setCloseOnExec } from "./processes/execute.ts";
export { IPC_KINDS, ipcObjects, removeIpcObject } from "./processes/ipc.ts";
export {
  allProcesses,
  auditSession,
  commandWords,
  executableOf,
  findPidfd,
  hasEnded,
  isPidfd,
  killPidfd,
  openFilesLimit,
  openPidfd,
  type ProcessStatus,
  pidfdInode,
  pidfdInodeOf,
  pidOfPidfd,
  processStatus,
  resetSignal,
  setOpenFilesLimit,
  signalOnParentDeath,
  startTimeOf,
  uidsOf,
  watchPidfd,
  watchProcess,
} from "./processes/process.ts";
export {
  hasItsNumber,
  identityOf,
  identityOfPid,
  identityOfPidfd,
  type ProcessIdentity,
} from "./processes/process-identity.ts";
export { rebootNow } from "./processes/reboot.ts";
export {
  type FileRight,
  type LandlockPolicy,
  landlockVersion,
  restrictThread,
} from "./sandbox/landlock.ts";
export {
  assembleFilter,
  type Condition,
  type Policy,
  programBytes,
  type Rule,
  setFilter,
} from "./sandbox/seccomp.ts";
export type { CallName } from "./sandbox/system-calls.ts";
export {
  asideBacklog,
  closeAside,
  closeConnection,
  Discarder,
  isBacklogged,
  threadsOf,
  userOwner,
} from "./sockets/close-aside.ts";
export { onConnection } from "./sockets/connections.ts";
export { listenerAt } from "./sockets/listener.ts";
export type { Credentials } from "./sockets/message.ts";
export {
  passCredentials,
  peerCredentials,
  peerPidfd,
  refuseDescriptors,
  setReceiveBuffer,
} from "./sockets/options.ts";
export { hasRoomFor, type RoomLimits } from "./sockets/peer-room.ts";
export {
  dropDatagram,
  type Peeked,
  peekDatagram,
  ReceiveBuffer,
  receive,
  receiveStream,
} from "./sockets/receive.ts";
export { send } from "./sockets/send.ts";
export { sendDatagram } from "./sockets/send-as.ts";
export { createSenderFilter, setHeard } from "./sockets/sender-filter.ts";
export {
  bindDatagram,
  connectDatagram,
  connectStream,
  listenStream,
  openToAll,
  socketPair,
} from "./sockets/socket.ts";
export { now, type Timestamp } from "./time/clock.ts";
export { fromLocalTime, localTime, type WallTime } from "./time/local-time.ts";
export { LONGEST_TIMEOUT, setLongTimeout } from "./time/long-timeout.ts";
export { TimeZone } from "./time/time-zone.ts";
export { atWakeup, canWakeUp } from "./time/timer.ts";
export { accountOf } from "./users/subordinate.ts";
export { type User, userById, userByName } from "./users/users.ts";
