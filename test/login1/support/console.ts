/** The machine's virtual terminals. */
import { existsSync, readFileSync } from "node:fs";
import { activeVt, hasVts, switchVt } from "../../../lib/login1/hardware/vt.ts";
import { lock } from "../../../scripts/lock.ts";
import { until } from "../../support/until.ts";

const DUMMY = "/sys/class/vtconsole/vtcon0/name";

/** Whether no screen shows a console (the kernel's is the dummy one): only then a test switches VTs. */
export const consoleIsInvisible =
  hasVts() &&
  existsSync(DUMMY) &&
  readFileSync(DUMMY, "utf8").includes("dummy") &&
  !existsSync("/sys/class/vtconsole/vtcon1");

/** The memory of whatever VT is in the foreground: the same for all that run on this machine, whatever root they have. */
const SHARED = "/dev/vcs";

/**
 * Waits until no other run of the tests has the machine's VTs.
 *
 * @returns what gives them back, with the VT in the foreground that was
 */
export async function holdVts(): Promise<() => void> {
  const release = await lock(SHARED);
  const before = activeVt();
  return () => {
    if (before !== undefined) switchVt(before);
    release();
  };
}

/** Switches to a VT; the kernel makes the switch a moment later. */
export async function goToVt(number: number): Promise<void> {
  switchVt(number);
  await until(
    `VT ${number} in the foreground`,
    () => activeVt(),
    (now) => now === number,
  );
}
