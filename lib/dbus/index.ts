/** D-Bus: messages with descriptors both ways, typed interfaces, and the callers' credentials. */
export {
  type Caller,
  Connection,
  type IncomingCall,
  type Reconnection,
  type Request,
  systemBusAddress,
} from "./connection.ts";
export { BusError, busErrors } from "./errors.ts";
export {
  type CallContext,
  hidden,
  type Interface,
  type Members,
  membersOf,
  privileged,
  type SignalMember,
  whenKnown,
} from "./interface.ts";
export { escapeLabel, unescapeLabel } from "./label.ts";
export { type Folder, ObjectTree } from "./tree.ts";
export { Variant } from "./variant.ts";
