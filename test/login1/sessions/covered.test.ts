/** A runtime directory over which its user has mounted a file system, as setuid fusermount does. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { createSession } from "../support/client.ts";
import { compile } from "../support/probe.ts";
import { World } from "../support/world.ts";

const MALLORY = 65534;
const PATH = `/run/user/${MALLORY}`;

let world: World;
let bus: Connection;
let folder: string;
let fuse: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "p7-fuse-"));
  fuse = await compile(join(import.meta.dir, "../support/fuse.c"), "-lc", folder);
  world = await World.create();
  await world.run(["mknod", "-m", "666", "/dev/fuse", "c", "10", "229"]);
  bus = await world.connect();
});
afterAll(async () => {
  bus?.close();
  await world?.end();
  rmSync(folder, { recursive: true, force: true });
});
const servers: Bun.Subprocess[] = [];
afterEach(async () => {
  await world.reset(bus);
  for (const server of servers.splice(0)) server.kill("SIGKILL");
});

/** Mounts the user's file system, whose server goes on until it is killed. */
async function cover(path = PATH, ...words: string[]): Promise<Bun.Subprocess> {
  const command = [fuse, path, String(MALLORY), ...words];
  const server = Bun.spawn(world.inside(command), { stdout: "pipe", stderr: "inherit" });
  servers.push(server);
  const { value } = await server.stdout.getReader().read();
  expect(Buffer.from(value ?? []).toString()).toBe("ready\n");
  return server;
}

async function login() {
  const leader = await world.leader();
  const { fd, id } = await createSession(bus, { uid: MALLORY, leader: leader.pid });
  return { fd, id, leader };
}

/** What is mounted there, as the kernel lists it. */
async function mounted(): Promise<string[]> {
  const list = (await world.run(["cat", "/proc/self/mountinfo"])).stdout.split("\n");
  return list
    .filter((line) => line.split(" ")[4]?.startsWith(PATH))
    .map((line) => line.split(" - ")[1]?.split(" ")[0] ?? "");
}
const isTheirs = () => {
  const { uid, mode } = statSync(world.root + PATH);
  expect({ uid, mode: mode & 0o7777 }).toEqual({ uid: MALLORY, mode: 0o700 });
};

describe.each([
  ["", []],
  [" for everybody, which does not answer,", ["all", "silent"]],
])("a file system%s", (_, words) => {
  test("over it is unmounted for the next login", async () => {
    const first = await login();
    for (let times = 0; times < 3; times++) await cover(PATH, ...words);
    expect(await mounted()).toEqual(["tmpfs", "fuse.p7", "fuse.p7", "fuse.p7"]);
    const second = await login();
    expect(await mounted()).toEqual(["tmpfs"]);
    isTheirs();
    for (const { fd } of [first, second]) close(fd);
  });

  test("over it and in it goes with the last session", async () => {
    const { fd, leader } = await login();
    await world.run(["mkdir", `${PATH}/in`]);
    await cover(`${PATH}/in`, ...words);
    await cover(PATH, ...words);
    await cover(PATH, ...words);
    close(fd);
    leader.kill("SIGKILL");
    await world.until("the directory is gone", async () => {
      return (await mounted()).length === 0 && !existsSync(world.root + PATH);
    });
  });

  test("whose server has ended is in nobody's way", async () => {
    const first = await login();
    const server = await cover(PATH, ...words);
    server.kill("SIGKILL");
    await server.exited;
    const second = await login();
    expect(await mounted()).toEqual(["tmpfs"]);
    isTheirs();
    for (const { fd } of [first, second]) close(fd);
  });
});

test("a bridge that starts finds what is covered, and its user's next login has a session", async () => {
  const { fd } = await login();
  await cover();
  await world.endBridge("SIGKILL");
  await world.startBridge();
  close(fd);
  const { fd: second } = await login();
  expect(await mounted()).toEqual(["tmpfs"]);
  close(second);
});

test("one without a tmpfs below, left by nobody, is removed at the start", async () => {
  await world.run(["mkdir", PATH]);
  await cover();
  await world.endBridge("SIGKILL");
  await world.startBridge();
  const { fd } = await login();
  expect(await mounted()).toEqual(["tmpfs"]);
  isTheirs();
  close(fd);
});

test("what is mounted elsewhere stays", async () => {
  const before = readFileSync(`/proc/${world.bridgePid}/mountinfo`, "utf8");
  await world.run(["mkdir", "-p", "/run/user/other"]);
  await cover("/run/user/other");
  const { fd } = await login();
  close(fd);
  expect((await world.run(["cat", "/proc/self/mountinfo"])).stdout).toContain("/run/user/other");
  expect(before).not.toContain("/run/user/other");
  await world.run(["sh", "-c", "umount -l /run/user/other && rmdir /run/user/other"]);
});
