/** A thousand sessions and a thousand inhibitors at once, with real processes and descriptors. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../lib/dbus/index.ts";
import { close } from "../../lib/linux/index.ts";
import { callManager, createSession } from "../login1/support/client.ts";
import { buildView } from "../login1/support/probe.ts";
import { View } from "../login1/support/views.ts";
import { World } from "../login1/support/world.ts";
import { anonymous, heldBy, type Work, workOf } from "./bridge-process.ts";

const MANY = 1000;
const UIDS = [1, 2, 8, 65534];
/** What a bridge may take for all of them, in KiB. */
const MOST_MEMORY = 200 * 1024;

let world: World;
let bus: Connection;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "p7-scale-"));
  world = await World.create();
  bus = await world.connect();
});
afterAll(async () => {
  bus.close();
  await world.end();
  rmSync(folder, { recursive: true });
});

const listed = async (member: string) => ((await callManager(bus, member))[0] as unknown[]).length;
/** The names of the files that login1 keeps in a folder of /run. */
const files = (name: string) => readdirSync(`${world.root}/run/${name}`);
const slices = () => {
  const scopes = readFileSync(`/proc/${world.bridgePid}/mountinfo`, "utf8");
  expect(scopes).toContain(" /sys/fs/cgroup ");
  return readdirSync(`${world.root}/sys/fs/cgroup/user.slice`).filter((at) =>
    at.endsWith(".slice"),
  );
};

/** Runs the last quarter of `count` steps, and says what it cost beside an early quarter of as many. */
async function compareQuarters(count: number, step: (index: number) => Promise<void>) {
  const quarter = count / 4;
  const pid = world.bridgePid;
  const marks: Work[] = [];
  for (let index = 0; index < count; index++) {
    if (index % quarter === 0) marks.push(workOf(pid));
    await step(index);
  }
  marks.push(workOf(pid));
  const cost = (key: keyof Work, at: number) =>
    (marks[at + 1]?.[key] ?? 0) - (marks[at]?.[key] ?? 0);
  const of = (at: number): Work => ({
    calls: cost("calls", at) / quarter,
    written: cost("written", at) / quarter,
  });
  // The very first make what the others find there.
  return { early: of(1), late: of(3) };
}

test(`${MANY} sessions: the last costs what the first did, and nothing of them stays`, async () => {
  const view = new View(world, await buildView(folder));
  const before = { held: heldBy(world.bridgePid), memory: anonymous(world.bridgePid) };
  const fds: number[] = [];
  const { early, late } = await compareQuarters(MANY, async (index) => {
    const { pid } = await view.leader();
    const uid = UIDS[index % UIDS.length] ?? 1;
    fds.push((await createSession(bus, { uid, leader: pid })).fd);
  });
  expect(await listed("ListSessions")).toBe(MANY);
  expect(await listed("ListUsers")).toBe(UIDS.length);
  // As many system calls; of what is written only the list of the user's sessions is longer.
  expect(late.calls / early.calls).toBeLessThan(1.5);
  expect(late.written / early.written).toBeLessThan(3);
  expect(anonymous(world.bridgePid) - before.memory).toBeLessThan(MOST_MEMORY);
  const held = heldBy(world.bridgePid);
  // Only those that end have their scope watched.
  expect(held.watches).toBe(before.held.watches);
  expect((held.descriptors - before.held.descriptors) / MANY).toBeLessThan(4);

  await world.endBridge("SIGKILL");
  await world.startBridge();
  expect(await listed("ListSessions")).toBe(MANY);
  expect(heldBy(world.bridgePid).watches).toBe(held.watches);

  // Half end by the descriptor, and all by the end of their leaders.
  for (const fd of fds.slice(0, MANY / 2)) close(fd);
  await world.until(
    "the scopes of those that end are watched",
    () => heldBy(world.bridgePid).watches - before.held.watches === MANY / 2,
  );
  await view.end();
  await world.until("no session is left", async () => (await listed("ListSessions")) === 0, 60_000);
  for (const fd of fds.slice(MANY / 2)) close(fd);
  expect(files("systemd/sessions")).toEqual([]);
  expect(files("systemd/users")).toEqual([]);
  expect(files("user")).toEqual([]);
  expect(slices()).toEqual([]);
  await world.until("nothing is held", () => {
    const { descriptors, watches } = heldBy(world.bridgePid);
    return watches === before.held.watches && descriptors <= before.held.descriptors + 2;
  });
}, 180_000);

/** What the bridge holds, as soon as that stays: what the test before has ended may still be closing. */
function heldAtRest() {
  return world.until("the bridge opens and closes nothing", async () => {
    const { descriptors } = heldBy(world.bridgePid);
    await Bun.sleep(500);
    const held = heldBy(world.bridgePid);
    return held.descriptors === descriptors && held;
  });
}

test(`${MANY} inhibitors: the same`, async () => {
  const before = { held: await heldAtRest(), memory: anonymous(world.bridgePid) };
  const fds: number[] = [];
  const { early, late } = await compareQuarters(MANY, async (index) => {
    const body = ["sleep:idle", "scale", `number ${index}`, "block"];
    fds.push((await callManager(bus, "Inhibit", "ssss", body))[0] as number);
  });
  expect(await listed("ListInhibitors")).toBe(MANY);
  expect(late.calls / early.calls).toBeLessThan(1.5);
  expect(late.written / early.written).toBeLessThan(1.5);
  expect(anonymous(world.bridgePid) - before.memory).toBeLessThan(MOST_MEMORY);
  // Waited for, since a file may be open that moment which is none of theirs. What watches them
  // all comes with the first: an epoll instance, and Bun's duplicate of it.
  await world.until(
    "one descriptor is held for each, and two for all",
    () => heldBy(world.bridgePid).descriptors - before.held.descriptors === MANY + 2,
  );

  await world.endBridge("SIGKILL");
  await world.startBridge();
  expect(await listed("ListInhibitors")).toBe(MANY);
  expect(heldBy(world.bridgePid).descriptors).toBeGreaterThan(MANY);

  for (const fd of fds) close(fd);
  await world.until("none is left", async () => (await listed("ListInhibitors")) === 0, 60_000);
  expect(files("systemd/inhibit")).toEqual([]);
  await world.until("nothing is held", () => {
    return heldBy(world.bridgePid).descriptors <= before.held.descriptors + 2;
  });
}, 120_000);
