/** Programs that a command line names, found as execvp(3) does. */
import { existsSync } from "node:fs";
import { errno } from "../linux/index.ts";

/** The path of a program, or the errno that says why there is none to execute. */
export function findExecutable(name: string): string | number {
  const path = Bun.which(name);
  if (path) return path;
  return name.includes("/") && existsSync(name) ? errno.EACCES : errno.ENOENT;
}

/** The words that execute a program which the kernel knows no interpreter of: it is a script of sh(1). */
export const asScript = (path: string, args: readonly string[]): string[] => {
  return ["/bin/sh", path, ...args];
};
