import { existsSync } from "node:fs";

const PLACES = [
  "/usr/lib/x86_64-linux-gnu/security/pam_systemd.so",
  "/usr/lib/security/pam_systemd.so",
];

/**
 * Where systemd's pam_systemd.so is, on Debian or on Arch.
 *
 * @throws {Error} if it is not installed
 */
export function pamModule(): string {
  const found = PLACES.find((path) => existsSync(path));
  if (!found) throw new Error("pam_systemd.so is not installed (Debian: libpam-systemd)");
  return found;
}
