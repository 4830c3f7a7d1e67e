/** Hardening by the kernel's sysctl keys. */
export {
  applyHardening,
  compareHardening,
  formatTable,
  hardeningKeys,
  type KeyResult,
  sysctlFile,
} from "./apply.ts";
export { HARDENING, type Hardening, SCOPES, type Scope } from "./table.ts";
