/** Nothing is left of a world whose test is killed, or which could not be made. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allProcesses, cgroupOf, cgroupRoot, processStatus } from "../../lib/linux/index.ts";
import { readUntil } from "../support/read-until.ts";
import { until } from "../support/until.ts";
import { World } from "./support/world.ts";

/** A bridge that tells by a file that it is there, and neither is ready nor ends while that is there. */
const hanging = (file: string) => [
  ...["sh", "-c", 'echo $$ > "$1"; while [ -e "$1" ]; do sleep 0.1; done; echo why >&2; exit 1'],
  ...["sh", file],
];
const CLIENT = join(import.meta.dir, "support/client.ts");
const WORLD = join(import.meta.dir, "support/world.ts");

const folders: string[] = [];
const children: Bun.Subprocess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill("SIGKILL");
    await child.exited;
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "p7-left-"));
  folders.push(folder);
  return folder;
}

/** A program that makes a world; its temporary files are in a folder of its own. */
function start(program: string, temporary: string) {
  const text = `const { World } = await import(${JSON.stringify(WORLD)});\n${program}`;
  const child = Bun.spawn([process.execPath, "-e", text], {
    env: { ...process.env, TMPDIR: temporary },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  children.push(child);
  return child;
}

/** The running processes that are in a cgroup or below it, or have its name in their command line. */
function processesOf(cgroup: string): number[] {
  return allProcesses().filter((pid) => {
    if (processStatus(pid)?.state === "Z") return false;
    const where = cgroupOf(pid) ?? "";
    return `${where}/`.startsWith(`${cgroup}/`) || commandOf(pid).includes(cgroup);
  });
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    // It has ended meanwhile.
    return "";
  }
}

/** What is to go with a world: its cgroup and its processes, and who takes them away. */
const isThere = (cgroup: string) =>
  existsSync(`${cgroupRoot()}${cgroup}`) || processesOf(cgroup).length > 0;

/** The world's cgroup, by a process in it. */
const worldOf = (pid: number) => /^\/p7-world-[^/]+/.exec(cgroupOf(pid) ?? "")?.[0] ?? "";

test("with a bridge, a session and its leader goes when its test is killed", async () => {
  const temporary = newFolder();
  const child = start(
    `const { createSession } = await import(${JSON.stringify(CLIENT)});
const world = await World.create();
const bus = await world.connect();
const leader = await world.leader();
await createSession(bus, { uid: 65534, leader: leader.pid });
console.log(JSON.stringify({ bridge: world.bridgePid, leader: leader.pid }));
await new Promise((done) => setTimeout(done, 2 ** 30));`,
    temporary,
  );
  const { bridge, leader } = JSON.parse(await readUntil(child.stdout, /\n/));
  const cgroup = worldOf(bridge);
  expect(processesOf(cgroup)).toEqual(expect.arrayContaining([bridge, leader]));
  expect(cgroupOf(leader)).toStartWith(`${cgroup}/user.slice/`);
  child.kill("SIGKILL");
  await until("nothing is left", () => !isThere(cgroup));
  expect(readdirSync(temporary)).toEqual([]);
});

test("goes when its test is killed while it is made", async () => {
  const temporary = newFolder();
  const file = join(newFolder(), "bridge");
  const child = start(
    `await World.create({ bridge: ${JSON.stringify(hanging(file))} });`,
    temporary,
  );
  const pid = await until("the bridge is there", () => pidIn(file));
  const cgroup = worldOf(pid);
  expect(processesOf(cgroup)).toContain(pid);
  child.kill("SIGKILL");
  await until("nothing is left", () => !isThere(cgroup));
  expect(readdirSync(temporary)).toEqual([]);
});

test("whose bridge does not start is taken away before its test is told", async () => {
  const file = join(newFolder(), "bridge");
  const making = World.create({ bridge: hanging(file) });
  const failure = making.then(
    () => "none",
    (error: Error) => error.message,
  );
  const cgroup = worldOf(await until("the bridge is there", () => pidIn(file)));
  expect(isThere(cgroup)).toBe(true);
  rmSync(file);
  expect(await failure).toContain("the bridge ended:\nwhy");
  expect(isThere(cgroup)).toBe(false);
});

test("whose namespaces cannot be made is taken away too", async () => {
  const before = processesOf("/p7-world-");
  // There is no VT of this number.
  await expect(World.create({ vts: [4711] })).rejects.toThrow("the namespaces could not be made");
  const ours = (pid: number) => !before.includes(pid) && processStatus(pid)?.parent === process.pid;
  expect(processesOf("/p7-world-").filter(ours)).toEqual([]);
});

/** What a process has written of itself, once all of it is there. */
const pidIn = (file: string) =>
  existsSync(file) ? Number(/^(\d+)\n$/.exec(readFileSync(file, "utf8"))?.[1] ?? 0) : 0;
