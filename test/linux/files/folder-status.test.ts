import { expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { folderStatus } from "../../../lib/linux/index.ts";

test("a folder's status says whose it is and whether something is mounted there", () => {
  const folder = mkdtempSync(join(tmpdir(), "p7-status-"));
  try {
    chmodSync(folder, 0o710);
    const own = { uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 };
    expect(folderStatus(folder)).toEqual({ mode: 0o710, ...own, isMountPoint: false });
    expect(folderStatus("/proc")?.isMountPoint).toBe(true);
    symlinkSync("/proc", join(folder, "link"));
    writeFileSync(join(folder, "file"), "");
    for (const name of ["link", "file"]) {
      expect(folderStatus(join(folder, name))).toBeUndefined();
    }
    expect(() => folderStatus(join(folder, "nothing"))).toThrow("ENOENT");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
