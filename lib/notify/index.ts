/** The receiving end of sd_notify(3). */
export { type Assignment, type Datagram, MOST_BYTES, parseDatagram } from "./parse.ts";
export { NotifyServer, type ServerOptions } from "./receive.ts";
export { type ClaimedSocket, claimSocket, DEFAULT_SOCKET } from "./socket.ts";
