/**
 * Who may open the devices that udev has tagged `uaccess`. udev is played, on
 * /dev/zero and /dev/full of the world's own /dev; the lists are the kernel's.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { Client } from "../../varlink/client.ts";
import { type CreateOptions, callManager, createSession, getProperty } from "../support/client.ts";
import { World } from "../support/world.ts";

const ALICE = 65534;
const BOB = 1;
/** Keys of udev's database. */
const ZERO = "c1:5";
const FULL = "c1:7";

let world: World;
let bus: Connection;

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(async () => {
  const made =
    "rm -f /dev/zero /dev/full; mknod -m 600 /dev/zero c 1 5; mknod -m 660 /dev/full c 1 7";
  expect(await world.run(["sh", "-ec", made])).toMatchObject({ code: 0, stderr: "" });
});
afterEach(async () => {
  await world.reset(bus);
  rmSync(`${world.root}/run/udev`, { recursive: true, force: true });
});

/** Writes a record as udev does: the tags first, then the record by rename. */
function tag(key: string, lines: string[] = [], tags = ["uaccess"]): void {
  const udev = `${world.root}/run/udev`;
  mkdirSync(`${udev}/data`, { recursive: true });
  for (const name of tags) {
    mkdirSync(`${udev}/tags/${name}`, { recursive: true });
    writeFileSync(`${udev}/tags/${name}/${key}`, "");
  }
  const tagLines = ["G", "Q"].flatMap((kind) => tags.map((name) => `${kind}:${name}`));
  const record = ["I:1", ...lines, ...tagLines, "V:1"].join("\n");
  writeFileSync(`${udev}/data/${key}.tmp`, `${record}\n`);
  renameSync(`${udev}/data/${key}.tmp`, `${udev}/data/${key}`);
}

async function login(options: Partial<CreateOptions> = {}) {
  const { pid } = await world.leader();
  return await createSession(bus, { uid: ALICE, leader: pid, seat: "seat0", ...options });
}
/** Whether a user can open a node to write, as the kernel decides it. */
async function mayOpen(user: number, node: string): Promise<boolean> {
  const outcome = await world.run(["sh", "-c", `: > ${node}`], { user });
  if (outcome.code !== 0) expect(outcome.stderr).toContain("Permission denied");
  return outcome.code === 0;
}

/** A login as pam_systemd registers one from version 260 on, in a session that ends with its leader. */
async function loginFar(user: number, extra: string[]) {
  const leader = await world.leader();
  const client = await Client.connect(`${world.root}/run/systemd/io.systemd.Login`);
  const answer = await client.call("io.systemd.Login.CreateSession", {
    ...{ UID: user, PID: { pid: leader.pid }, Service: "test", Type: "wayland", Class: "user" },
    ...{ Remote: true, ExtraDeviceAccess: extra },
  });
  client.close();
  expect(answer).toMatchObject({ parameters: { UID: user } });
  const id = String(answer?.parameters?.Id);
  return { id, path: `/org/freedesktop/login1/session/${id}`, leader };
}

const modeOf = async (node: string) => (await world.run(["stat", "-c", "%a", node])).stdout.trim();

describe("a device that whoever sits there may open", () => {
  test("is the foreground session's user's, changes hands with it, and is nobody's after", async () => {
    tag(ZERO);
    const alice = await login();
    expect(await mayOpen(ALICE, "/dev/zero")).toBe(true);
    expect(await mayOpen(BOB, "/dev/zero")).toBe(false);
    const bob = await login({ uid: BOB });
    expect(await mayOpen(BOB, "/dev/zero")).toBe(true);
    expect(await mayOpen(ALICE, "/dev/zero")).toBe(false);
    await callManager(bus, "ActivateSession", "s", [alice.id]);
    expect(await mayOpen(ALICE, "/dev/zero")).toBe(true);
    expect(await mayOpen(BOB, "/dev/zero")).toBe(false);
    for (const { fd } of [alice, bob]) close(fd);
    await world.until("it is closed to all", async () => !(await mayOpen(ALICE, "/dev/zero")));
    expect(await modeOf("/dev/zero")).toBe("600");
  });

  test("may come while somebody is there, and stays what its mode says to others", async () => {
    const { fd } = await login();
    tag(FULL);
    await world.until("it is alice's", () => mayOpen(ALICE, "/dev/full"));
    expect(await mayOpen(BOB, "/dev/full")).toBe(false);
    const group = await world.run([
      "setpriv",
      "--reuid=1",
      "--regid=0",
      "--clear-groups",
      "sh",
      "-c",
      ": > /dev/full",
    ]);
    expect(group.code).toBe(0);
    close(fd);
  });

  test("is not another seat's, and not that of a session without a seat", async () => {
    tag(ZERO, ["E:ID_SEAT=seat-left"]);
    tag(FULL);
    const here = await login({ uid: BOB });
    const remote = await login({ seat: "" });
    expect(await mayOpen(BOB, "/dev/full")).toBe(true);
    expect(await mayOpen(BOB, "/dev/zero")).toBe(false);
    expect(await mayOpen(ALICE, "/dev/full")).toBe(false);
    for (const { fd } of [here, remote]) close(fd);
  });

  test("is also that of a session from afar that asked for its kind, beside who sits there, while it is open", async () => {
    tag(ZERO, [], ["uaccess", "xaccess-render", "seat"]);
    tag(FULL, [], ["xaccess-accel"]);
    const here = await login();
    const far = await loginFar(BOB, ["render"]);
    expect(await getProperty(bus, far.path, "Session", "ExtraDeviceAccess")).toEqual(["render"]);
    expect(await mayOpen(ALICE, "/dev/zero")).toBe(true);
    expect(await mayOpen(BOB, "/dev/zero")).toBe(true);
    for (const user of [ALICE, BOB]) expect(await mayOpen(user, "/dev/full")).toBe(false);

    const other = await loginFar(BOB, ["accel", "render"]);
    expect(await mayOpen(BOB, "/dev/full")).toBe(true);
    await callManager(bus, "TerminateSession", "s", [far.id]);
    expect(await mayOpen(BOB, "/dev/zero")).toBe(true);
    close(here.fd);
    await world.until("it is not alice's", async () => !(await mayOpen(ALICE, "/dev/zero")));
    expect(await mayOpen(BOB, "/dev/zero")).toBe(true);

    // It is kept in the state file, and a device may come later.
    await world.endBridge("SIGKILL");
    rmSync(`${world.root}/run/udev`, { recursive: true });
    await world.startBridge();
    expect(await getProperty(bus, other.path, "Session", "ExtraDeviceAccess")).toEqual([
      "accel",
      "render",
    ]);
    tag(ZERO, [], ["xaccess-render"]);
    await world.until("it is bob's", () => mayOpen(BOB, "/dev/zero"));
    other.leader.kill("SIGKILL");
    await world.until("it is closed to all", async () => !(await mayOpen(BOB, "/dev/zero")));
    expect(await modeOf("/dev/zero")).toBe("600");
  });

  test("is put right by a bridge that was away while the foreground changed", async () => {
    tag(ZERO);
    const { fd } = await login();
    await world.endBridge("SIGKILL");
    close(fd);
    expect(await mayOpen(ALICE, "/dev/zero")).toBe(true);
    await world.startBridge();
    await world.until("it is closed to alice", async () => !(await mayOpen(ALICE, "/dev/zero")));
  });

  test("may be a static node, whose driver is loaded by who opens it", async () => {
    const links = `${world.root}/run/udev/static_node-tags/uaccess`;
    mkdirSync(links, { recursive: true });
    symlinkSync("/dev/zero", `${links}/zero`);
    symlinkSync("/etc/shadow", `${links}/shadow`);
    const { fd } = await login();
    expect(await mayOpen(ALICE, "/dev/zero")).toBe(true);
    expect((await world.run(["cat", "/etc/shadow"], { user: ALICE })).code).not.toBe(0);
    close(fd);
  });

  test("that is not the one udev meant any more is left alone", async () => {
    tag(FULL);
    const swap = "rm /dev/full && mknod -m 600 /dev/full c 1 3";
    expect((await world.run(["sh", "-c", swap])).code).toBe(0);
    const { fd } = await login();
    expect(await mayOpen(ALICE, "/dev/full")).toBe(false);
    close(fd);
  });
});
