/** login1: sessions, users and seats, and the D-Bus service that stands for systemd-logind. */
export { setFirmware } from "./firmware.ts";
export { type Bridge, startBridge } from "./service.ts";
