/** The ways to go down and to sleep; see org.freedesktop.login1(5). */

interface Way {
  /** What inhibits it. */
  readonly inhibitedBy: "shutdown" | "sleep";
  /** For messages: "the machine may not PHRASE". */
  readonly phrase: string;
}

/** By the names that logind has for them in files, signals and properties. */
export const POWER_VERBS = {
  poweroff: { inhibitedBy: "shutdown", phrase: "power off the machine" },
  reboot: { inhibitedBy: "shutdown", phrase: "reboot the machine" },
  kexec: { inhibitedBy: "shutdown", phrase: "reboot the machine" },
  halt: { inhibitedBy: "shutdown", phrase: "halt the machine" },
  suspend: { inhibitedBy: "sleep", phrase: "suspend the machine" },
  hibernate: { inhibitedBy: "sleep", phrase: "hibernate the machine" },
  "hybrid-sleep": { inhibitedBy: "sleep", phrase: "put the machine to hybrid sleep" },
  "suspend-then-hibernate": {
    inhibitedBy: "sleep",
    phrase: "suspend the machine, then hibernate it",
  },
} as const satisfies Record<string, Way>;

export type PowerVerb = keyof typeof POWER_VERBS;
export type Shutdown = "poweroff" | "reboot" | "kexec" | "halt";
export type Sleep = Exclude<PowerVerb, Shutdown>;

export const isPowerVerb = (name: string): name is PowerVerb => Object.hasOwn(POWER_VERBS, name);
export const isShutdown = (name: string): name is Shutdown =>
  isPowerVerb(name) && POWER_VERBS[name].inhibitedBy === "shutdown";
