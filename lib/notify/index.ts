/** Both ends of sd_notify(3). */

// For lainos-notifyd:

export { statusText, waitForReady, watchStatus } from "./cli/show-status.ts";
export { type DaemonOptions, startDaemon } from "./daemon.ts";
export { DEFAULT_STORE } from "./fdstore/store-protocol.ts";
export { listenAndExecute, passedSockets } from "./listen.ts";
export { type Assignment, type Datagram, MOST_BYTES, parseDatagram } from "./protocol/datagram.ts";
export { DEFAULT_SOCKET } from "./protocol/socket.ts";
export { DEFAULT_STATE } from "./state/state-file.ts";

// For a daemon of ours that is one of its services:

export { DescriptorKeeper } from "./client/descriptor-keeper.ts";
export { Heartbeat, type HeartbeatOptions } from "./client/heartbeat.ts";
export { type Fetched, fetchDescriptors } from "./client/store-client.ts";

// For the command systemd-notify:

export { systemdNotify } from "./cli/systemd-notify.ts";
