/** /etc/resolv.conf, where resolvconf(8) of openresolv makes it of what each interface says. */
import type { Logger } from "../cli/index.ts";

/**
 * Has resolvconf make the file anew, so that no name server of the last boot is in it.
 *
 * @returns false if it failed, which is named; a system without it is none
 */
export async function updateResolvConf(log: Logger): Promise<boolean> {
  const resolvconf = Bun.which("resolvconf");
  if (resolvconf === null) return true;
  const child = Bun.spawn([resolvconf, "-u"], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const [text, status] = await Promise.all([child.stderr.text(), child.exited]);
  if (status === 0) return true;
  const reason = text.trim().split("\n").at(-1) || "no reason given";
  log.error(`resolvconf -u ended with ${child.signalCode ?? `status ${status}`}: ${reason}`);
  return false;
}
