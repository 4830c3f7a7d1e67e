import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { close, lockFile } from "../../../lib/linux/index.ts";

test("a file lock keeps others out until its holder is gone, even by kill -9", async () => {
  const folder = mkdtempSync(join(tmpdir(), "p7-lock-"));
  const path = join(folder, "lock");
  const holder = Bun.spawn(
    [
      "bun",
      "-e",
      `const { lockFile } = await import(${JSON.stringify(join(import.meta.dir, "../../../lib/linux/index.ts"))});
       console.log(lockFile(${JSON.stringify(path)}) !== undefined);
       setInterval(() => {}, 1000);`,
    ],
    { stdout: "pipe" },
  );
  const first = await holder.stdout.getReader().read();
  expect(Buffer.from(first.value ?? []).toString()).toBe("true\n");
  expect(lockFile(path)).toBeUndefined();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  holder.kill("SIGKILL");
  await holder.exited;
  const mine = lockFile(path);
  if (mine === undefined) throw new Error("the lock of a killed process stayed");
  expect(lockFile(path)).toBeUndefined();
  close(mine);
  const again = lockFile(path);
  if (again !== undefined) close(again);
  expect(again).toBeDefined();
  symlinkSync("lock", join(folder, "link"));
  expect(() => lockFile(join(folder, "link"))).toThrow("ELOOP");
  rmSync(folder, { recursive: true });
});
