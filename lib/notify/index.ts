/** Both ends of sd_notify(3). */
export { systemdNotify } from "./command.ts";
export { type DaemonOptions, startDaemon } from "./daemon.ts";
export { Heartbeat, type HeartbeatOptions } from "./heartbeat.ts";
export { listenAndExecute, passedSockets } from "./listen.ts";
export { type Assignment, type Datagram, MOST_BYTES, parseDatagram } from "./parse.ts";
export { DEFAULT_SOCKET } from "./socket.ts";
export { DEFAULT_STATE } from "./state-file.ts";
export { statusText, waitForReady, watchStatus } from "./status.ts";
export { type Fetched, fetchDescriptors } from "./store-client.ts";
export { DescriptorKeeper } from "./store-keeper.ts";
export { DEFAULT_STORE } from "./store-protocol.ts";
