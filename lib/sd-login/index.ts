/** What login1 and its clients both know: the words, names and file form of sd-login(3). */
export {
  isGraphical,
  isInteractive,
  SESSION_CLASSES,
  SESSION_TYPES,
  type SessionClass,
  type SessionState,
  type SessionType,
} from "./classes.ts";
export { formatState, parseState, type Values } from "./env-file.ts";
export { isSeatName, isSessionId, LAST_UID, NO_UID, NO_UIDS, UINT64_MAX } from "./names.ts";
export type { LoginRequest } from "./request.ts";
export { impliedClass, isSystemUid, isSystemUser } from "./user-class.ts";
