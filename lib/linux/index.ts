/** Linux: what Bun lacks of the C library, and the kernel's files. Nothing else calls C. */
export * from "./acl.ts";
export * from "./attributes.ts";
export * from "./cgroup.ts";
export * from "./clock.ts";
export { errno, hasCode, SystemError } from "./errors.ts";
export * from "./fd.ts";
export * from "./files.ts";
export * from "./inotify.ts";
export * from "./ipc.ts";
export * from "./local-time.ts";
export * from "./lock.ts";
export * from "./mount.ts";
export * from "./process.ts";
export * from "./readiness.ts";
export * from "./send-as.ts";
export * from "./socket.ts";
export * from "./timer.ts";
export * from "./users.ts";
