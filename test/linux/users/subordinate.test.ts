/** Whose a uid is for counts, by subuid(5). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reportFailures } from "../../../lib/linux/index.ts";
import { SubordinateUsers } from "../../../lib/linux/users/subordinate.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "p7-subuid-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

test("all subordinate uids of a user are one account, and each other uid is its own", () => {
  const path = join(folder, "subuid");
  writeFileSync(
    path,
    "alice:100000:65536\n# none\nbob:165536:10\nalice:300000:5\n1000:400000:2\nx:y:z\n",
  );
  const users = new SubordinateUsers(path);
  const of = (uid: number) => users.accountOf(uid);
  expect([of(100000), of(165535), of(300004)]).toEqual([100000, 100000, 100000]);
  expect([of(165536), of(165545), of(400001)]).toEqual([165536, 165536, 400000]);
  for (const uid of [0, 1000, 99_999, 165_546, 300_005, 400_002, 65_534]) expect(of(uid)).toBe(uid);
});

test("a file that cannot be read is said once, and what was known counts", () => {
  const path = join(folder, "broken");
  const users = new SubordinateUsers(path);
  writeFileSync(path, "alice:100000:65536\n");
  expect(users.accountOf(100_001, 0)).toBe(100_000);
  rmSync(path);
  mkdirSync(path);
  const said: unknown[] = [];
  reportFailures((error) => said.push(error));
  for (const now of [1000, 2000, 3000]) expect(users.accountOf(100_001, now)).toBe(100_000);
  expect(said.map(String)).toEqual([expect.stringContaining("EISDIR")]);
});

test("the file is read again when it has changed, and none is no subordinate uids", () => {
  const path = join(folder, "changing");
  const users = new SubordinateUsers(path);
  expect(users.accountOf(100_001, 0)).toBe(100_001);
  writeFileSync(path, "alice:100000:65536\n");
  // It was looked at a moment ago.
  expect(users.accountOf(100_001, 999)).toBe(100_001);
  expect(users.accountOf(100_001, 1000)).toBe(100_000);
  rmSync(path);
  expect(users.accountOf(100_001, 2000)).toBe(100_001);
});
