/** Varlink, the serving side: https://varlink.org. */
export { VarlinkError, varlinkErrors } from "./errors.ts";
export { LONGEST_MESSAGE } from "./message.ts";
export { Parameters } from "./parameters.ts";
export type { Peer } from "./peer.ts";
export { type ServerOptions, VarlinkServer } from "./server.ts";
export { type Interface, type Reply, Service } from "./service.ts";
