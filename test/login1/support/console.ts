/** The machine's virtual terminals. */
import { existsSync, readFileSync } from "node:fs";
import { hasVts } from "../../../lib/login1/hardware/vt.ts";

const DUMMY = "/sys/class/vtconsole/vtcon0/name";

/** Whether no screen shows a console (the kernel's is the dummy one): only then a test switches VTs. */
export const consoleIsInvisible =
  hasVts() &&
  existsSync(DUMMY) &&
  readFileSync(DUMMY, "utf8").includes("dummy") &&
  !existsSync("/sys/class/vtconsole/vtcon1");
