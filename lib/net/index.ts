/** Hardening by the kernel's sysctl keys, and wireless networks prepared through iwd. */
import type { WirelessOptions } from "./wireless.ts";

export {
  applyHardening,
  compareHardening,
  formatTable,
  hardeningKeys,
  type KeyResult,
  sysctlFile,
} from "./apply.ts";
export { updateResolvConf } from "./resolvconf.ts";
export { HARDENING, type Hardening, SCOPES, type Scope } from "./table.ts";
export type { WirelessOptions } from "./wireless.ts";

/** `prepareWireless` of wireless.ts, which is loaded only then: the hardening at boot does without D-Bus. */
export const prepareWireless = async (options: WirelessOptions) =>
  (await import("./wireless.ts")).prepareWireless(options);
