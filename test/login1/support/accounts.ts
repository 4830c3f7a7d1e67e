/** Two accounts that every Debian and Arch system has. */
import { readFileSync } from "node:fs";

export const ALICE = { uid: 65534, name: "nobody" };
export const BOB = { uid: 1, name: userName(1) };

function userName(uid: number): string {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.split(":")[2] === String(uid));
  return line?.split(":")[0] ?? "";
}
