/** D-Bus: messages with descriptors both ways, typed interfaces, and the callers' credentials. */
export {
  type Caller,
  Connection,
  type IncomingCall,
  type Reconnection,
  type Request,
  systemBusAddress,
} from "./connection/connection.ts";
export {
  type CallContext,
  hidden,
  type Interface,
  type Members,
  membersOf,
  privileged,
  type SignalMember,
  whenKnown,
} from "./objects/interface.ts";
export { escapeLabel, unescapeLabel } from "./objects/object-path.ts";
export { type Folder, ObjectTree } from "./objects/object-tree.ts";
export { BusError, busErrors } from "./protocol/errors.ts";
export { Variant } from "./protocol/variant.ts";
