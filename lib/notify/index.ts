/** Both ends of sd_notify(3). */
export { systemdNotify } from "./command.ts";
export { type Assignment, type Datagram, MOST_BYTES, parseDatagram } from "./parse.ts";
export { NotifyServer, type ServerOptions } from "./receive.ts";
export { sendNotification, waitForBarrier } from "./send.ts";
export { type ClaimedSocket, claimSocket, DEFAULT_SOCKET } from "./socket.ts";
