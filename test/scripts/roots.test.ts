/** Which roots of the cache are removed, and by whom they are used. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lowerFolders } from "../../scripts/lib/mounts.ts";
import { prune } from "../../scripts/lib/rootfs.ts";

const USERS = join(import.meta.dir, "../../scripts/lib/root-users.ts");

/** Uses a root as whoever was given it does, until it is killed. */
const MARKS = `
const { markUse } = await import(${JSON.stringify(USERS)});
await markUse(process.argv[1]);
console.log("ready");
setInterval(() => {}, 1000);
`;

/** Has an overlay over a root, in a mount namespace of its own. */
const MOUNTS = `
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
echo ready
exec sleep infinity
`;

const children: Bun.Subprocess[] = [];
const folders: string[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill("SIGKILL");
    await child.exited;
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function roots(...names: string[]): string {
  const base = mkdtempSync(join(tmpdir(), "p7-roots-"));
  folders.push(base);
  for (const name of names) mkdirSync(join(base, name, "usr"), { recursive: true });
  return base;
}

/** Starts a user of a root; returns when it uses it. */
async function start(command: string[]): Promise<Bun.Subprocess> {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  children.push(child);
  const { value } = await child.stdout.getReader().read();
  expect(Buffer.from(value ?? []).toString()).toBe("ready\n");
  return child;
}

const left = (base: string) => readdirSync(base).filter((name) => !name.startsWith("."));

test.each([
  ["that was given to a process", (root: string) => [process.execPath, "-e", MARKS, root]],
  [
    "below an overlay",
    (root: string) => [
      ...["unshare", "--mount", "--propagation", "private"],
      ...["sh", "-euc", MOUNTS, "sh", root],
    ],
  ],
])("a root %s stays until its user has ended, however that was", async (_, command) => {
  const base = roots("new", "used", "unused");
  const user = await start(command(join(base, "used")));
  await prune(base, join(base, "new"));
  expect(left(base).sort()).toEqual(["new", "used"]);
  expect(readdirSync(join(base, "used"))).toEqual(["usr"]);
  user.kill("SIGKILL");
  await user.exited;
  await prune(base, join(base, "new"));
  expect(left(base)).toEqual(["new"]);
});

test("a build that was broken off leaves nothing, and one that goes on is left alone", async () => {
  const gone = Bun.spawnSync(["true"]).pid;
  const base = roots(
    "new",
    `.building-${gone}`,
    `.removing-${gone}-old`,
    `.scratch-${process.pid}`,
  );
  await prune(base, join(base, "new"));
  // Beside the lock, which is nobody's now.
  expect(readdirSync(base).sort()).toEqual([".lock", `.scratch-${process.pid}`, "new"]);
  expect(existsSync(join(base, "new/usr"))).toBe(true);
});

test("the folders below overlays are found in every form of their options", () => {
  const lines = [
    "66 1 0:38 / /a rw - overlay tools rw,lowerdir=/cache/one,upperdir=/u,workdir=/w",
    "67 1 0:39 / /b rw shared:3 - overlay tools rw,lowerdir=/cache/t\\134:wo:/cache/a\\040blank,uuid=on",
    "68 1 0:40 / /c rw - overlay tools ro,lowerdir+=/cache/three,lowerdir+=/cache/four",
    "69 1 0:41 / /d rw - tmpfs lowerdir=/none rw",
    "",
  ];
  expect(lowerFolders(lines.join("\n"))).toEqual([
    ...["/cache/one", "/cache/t:wo", "/cache/a blank", "/cache/three", "/cache/four"],
  ]);
});
