/** login1: sessions, users and seats, and the D-Bus service that stands for systemd-logind. */

export { type Bridge, startBridge } from "./bridge.ts";
export { setFirmware } from "./hardware/boot-firmware.ts";
