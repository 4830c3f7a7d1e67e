/** The ways to go down and to sleep, and what each needs; see org.freedesktop.login1(5). */
import { ACTIONS, type Action } from "../permission/authorize.ts";

interface Way {
  /** What inhibits it. */
  inhibitedBy: "shutdown" | "sleep";
  /** What a caller needs: by itself, with others logged in, and against a block inhibitor. */
  right: Action;
  withOthers: Action;
  againstInhibitors: Action;
  /** For messages: "the machine may not PHRASE". */
  phrase: string;
}

const powerOff = {
  inhibitedBy: "shutdown",
  right: ACTIONS.powerOff,
  withOthers: ACTIONS.powerOffMultipleSessions,
  againstInhibitors: ACTIONS.powerOffIgnoreInhibit,
} as const;
const reboot = {
  inhibitedBy: "shutdown",
  right: ACTIONS.reboot,
  withOthers: ACTIONS.rebootMultipleSessions,
  againstInhibitors: ACTIONS.rebootIgnoreInhibit,
} as const;
const halt = {
  inhibitedBy: "shutdown",
  right: ACTIONS.halt,
  withOthers: ACTIONS.haltMultipleSessions,
  againstInhibitors: ACTIONS.haltIgnoreInhibit,
} as const;
const suspend = {
  inhibitedBy: "sleep",
  right: ACTIONS.suspend,
  withOthers: ACTIONS.suspendMultipleSessions,
  againstInhibitors: ACTIONS.suspendIgnoreInhibit,
} as const;
const hibernate = {
  inhibitedBy: "sleep",
  right: ACTIONS.hibernate,
  withOthers: ACTIONS.hibernateMultipleSessions,
  againstInhibitors: ACTIONS.hibernateIgnoreInhibit,
} as const;

/** By the names that logind has for them in files, signals and properties. */
export const WAYS = {
  poweroff: { ...powerOff, phrase: "power off the machine" },
  reboot: { ...reboot, phrase: "reboot the machine" },
  kexec: { ...reboot, phrase: "reboot the machine" },
  halt: { ...halt, phrase: "halt the machine" },
  suspend: { ...suspend, phrase: "suspend the machine" },
  hibernate: { ...hibernate, phrase: "hibernate the machine" },
  "hybrid-sleep": { ...hibernate, phrase: "put the machine to hybrid sleep" },
  "suspend-then-hibernate": { ...hibernate, phrase: "suspend the machine, then hibernate it" },
} as const satisfies Record<string, Way>;

export type WayName = keyof typeof WAYS;
export type Shutdown = "poweroff" | "reboot" | "kexec" | "halt";
export type Sleep = Exclude<WayName, Shutdown>;

export const isWay = (name: string): name is WayName => Object.hasOwn(WAYS, name);
export const isShutdown = (name: string): name is Shutdown =>
  isWay(name) && WAYS[name].inhibitedBy === "shutdown";
