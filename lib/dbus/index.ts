/** D-Bus: messages with descriptors both ways, typed interfaces, and the callers' credentials. */
export { addressOfPath, parseAddresses, systemBusAddress } from "./connection/address.ts";
export type { Caller } from "./connection/callers.ts";
export type { Request } from "./connection/calls.ts";
export { Connection, type IncomingCall } from "./connection/connection.ts";
export {
  type CallContext,
  drifting,
  hidden,
  type Interface,
  type Members,
  membersOf,
  privileged,
  type SignalMember,
  whenKnown,
} from "./objects/interface.ts";
export { escapeLabel } from "./objects/object-path.ts";
export { type Folder, ObjectTree } from "./objects/object-tree.ts";
export { BusError, busErrors } from "./protocol/errors.ts";
export { Variant } from "./protocol/variant.ts";
