/** Varlink: the serving side, and one call of the other: https://varlink.org. */
export { callVarlink } from "./call.ts";
export { VarlinkError, varlinkErrors } from "./errors.ts";
export { Parameters } from "./parameters.ts";
export type { Peer } from "./peer.ts";
export { type ServerOptions, VarlinkServer } from "./server.ts";
export { type AfterReply, type Interface, Replies, type Reply, Service } from "./service.ts";
