/** Inhibitors where /run takes nothing, or what is in it is damaged. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "../../lib/dbus/index.ts";
import { close } from "../../lib/linux/index.ts";
import { callManager, getProperty } from "../login1/support/client.ts";
import { World } from "../login1/support/world.ts";
import { DAMAGES, PLACES, stateText } from "./damages.ts";
import { breakRun, FAULTS, mendRun } from "./run-folder.ts";

const FOLDER = "/run/systemd/inhibit";

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
  await mendRun(world);
  await world.until("no inhibitor is left", async () => (await list()).length === 0);
  await world.until("no file is left", () => files().length === 0);
});

const files = () => readdirSync(join(world.root, FOLDER));
/** Who inhibits. */
const list = async () =>
  ((await callManager(bus, "ListInhibitors"))[0] as [string, string][]).map(([, who]) => who);
const inhibit = async (who: string) =>
  (await callManager(bus, "Inhibit", "ssss", ["shutdown", who, "why", "delay"]))[0] as number;
const delayed = () => getProperty(bus, "/org/freedesktop/login1", "Manager", "DelayInhibited");
async function restart(change: () => void | Promise<void> = () => {}): Promise<string> {
  await world.endBridge("SIGKILL");
  await change();
  const from = world.log.length;
  await world.startBridge();
  return world.log.slice(from);
}
const write = (name: string, text: string) =>
  writeFileSync(join(world.root, FOLDER, name), text, { mode: 0o644 });
const script = async (text: string, ...words: string[]) =>
  expect(await world.run(["sh", "-euc", text, "sh", ...words])).toMatchObject({
    code: 0,
    stderr: "",
  });

describe.each(FAULTS)("with /run %s", (fault) => {
  test("one is made, counts and ends", async () => {
    await breakRun(world, fault);
    const fd = await inhibit("made");
    expect(await list()).toEqual(["made"]);
    expect(await delayed()).toBe("shutdown");
    close(fd);
    await world.until("it is over", async () => (await list()).length === 0);
    expect(await delayed()).toBe("");
    await mendRun(world);
    await world.until("no file is left", () => files().length === 0);
    expect(await restart()).not.toContain("inhibit");
  });

  test("the end of one from before is seen, also by the next bridge", async () => {
    const fd = await inhibit("before");
    await breakRun(world, fault);
    close(fd);
    await world.until("it is over", async () => (await list()).length === 0);
    await mendRun(world);
    await world.until("no file is left", () => files().length === 0);
    await restart();
    expect(await list()).toEqual([]);
  });
});

test("a bridge that cannot write in the folder finds those from before, and mends it later", async () => {
  const fds = [await inhibit("kept"), await inhibit("dropped")];
  await restart(async () => {
    close(fds[1] ?? -1);
    await script(`mount --bind ${FOLDER} ${FOLDER}; mount -o remount,bind,ro ${FOLDER}`);
  });
  expect(await list()).toEqual(["kept"]);
  const fd = await inhibit("new");
  expect(await list()).toEqual(["kept", "new"]);
  for (const open of [fd, fds[0] ?? -1]) close(open);
  await world.until("all are over", async () => (await list()).length === 0);
  expect(files().length).toBe(4);
  await script(`umount ${FOLDER}`);
  await world.until("no file is left", () => files().length === 0);
});

test("with /run full one that is made is found by the next bridge when there was room again", async () => {
  await breakRun(world, "full");
  const fd = await inhibit("found");
  expect(files().filter((name) => !name.includes("."))).toEqual([]);
  await mendRun(world);
  await world.until("its file", () => files().length === 2);
  await restart();
  expect(await list()).toEqual(["found"]);
  close(fd);
});

test("where no fifo can be made the log says that it does not outlive the bridge, and nothing of it stays", async () => {
  // A bridge says it once.
  await restart();
  await breakRun(world, "read-only");
  const from = world.log.length;
  const fds = [await inhibit("brief"), await inhibit("too")];
  const said = () => world.log.slice(from).split("do not outlive the bridge").length - 1;
  await world.until("it is said", () => said() > 0);
  await mendRun(world);
  await restart();
  expect(said()).toBe(1);
  expect(await list()).toEqual([]);
  expect(files()).toEqual([]);
  for (const fd of fds) close(fd);
});

const GOOD = { WHAT: "shutdown", MODE: "block", UID: "0", PID: "1", WHO: "me", WHY: "so" };

describe("a damaged file is removed, with a line in the log, and the others stay:", () => {
  const cases: [what: string, id: number, values: Record<string, string | undefined>][] = [];
  const add = (what: string, values: Record<string, string | undefined>) => {
    const id = 1000 + cases.length;
    cases.push([what, id, { ...GOOD, FIFO: `${FOLDER}/${id}.ref`, ...values }]);
  };
  for (const key of ["WHAT", "MODE", "UID", "PID", "FIFO"]) {
    for (const damage of DAMAGES) add(key, { [key]: damage });
  }
  add("the uid of nobody", { UID: "4294967295" });
  add("no pid", { PID: "0" });
  add("a long name", { WHO: "y".repeat(256) });
  add("a long reason", { WHY: "y".repeat(1025) });
  add("a NUL", { WHO: '"a\\\\000b"' });
  add("another's fifo", { FIFO: `${FOLDER}/1.ref` });
  add("a delay of what cannot be delayed", { MODE: "delay", WHAT: "sleep:handle-power-key" });

  test("each of its keys", async () => {
    const fd = await inhibit("good");
    const log = await restart(async () => {
      for (const [, id, values] of cases) write(String(id), stateText(values));
      await script(
        'for id; do mkfifo "$id"; done',
        ...cases.map(([, id]) => `${FOLDER}/${id}.ref`),
      );
    });
    for (const [what, id] of cases) {
      const said = log.split("\n").filter((line) => line.includes(`${FOLDER}/${id} `));
      expect({ what, lines: said.length }).toEqual({ what, lines: 1 });
      // A long value is not all of it in the log.
      expect(said[0]?.length).toBeLessThan(600);
    }
    expect(await list()).toEqual(["good"]);
    expect(files().length).toBe(2);
    close(fd);
  }, 30_000);

  test.each(PLACES)("%s in its place, or in its fifo's", async (_what, place) => {
    const fd = await inhibit("good");
    const log = await restart(async () => {
      for (const id of [2000, 2001]) {
        write(String(id), stateText({ ...GOOD, FIFO: `${FOLDER}/${id}.ref` }));
      }
      await script(`cp $1 /run/good; rm $1; set -- $1 /run/good; ${place}`, `${FOLDER}/2000`);
      await script(`mkfifo ${FOLDER}/2000.ref`);
      await script(place, `${FOLDER}/2001.ref`, "/run/good");
    });
    expect(log).toContain(`${FOLDER}/2000 is not used`);
    // A fifo is what belongs in the second place, and nobody holds it.
    if (!place.startsWith("mkfifo")) expect(log).toContain(`${FOLDER}/2001 is not used`);
    expect(await list()).toEqual(["good"]);
    expect(files().length).toBe(2);
    close(fd);
  });
});

test("names that are no inhibitor's go, and the next one has a number of its own", async () => {
  const names = ["99999999999999999999", "01", "x", ".#7z"];
  const log = await restart(() => {
    for (const name of names) write(name, stateText(GOOD));
  });
  for (const name of names) expect(log).toContain(`/${name} is no inhibitor's file`);
  const fd = await inhibit("next");
  expect(files().sort()).toEqual([
    expect.stringMatching(/^[1-9]\d{0,3}$/),
    expect.stringMatching(/^[1-9]\d{0,3}\.ref$/),
  ]);
  close(fd);
});

test("with something else in the folder's place inhibitors work, and the bridge starts", async () => {
  const log = await restart(() => {
    rmSync(join(world.root, FOLDER), { recursive: true });
    writeFileSync(join(world.root, FOLDER), "");
  });
  expect(log).toContain("no inhibitor of the last run is found again");
  const fd = await inhibit("here");
  expect(await list()).toEqual(["here"]);
  close(fd);
  await world.until("it is over", async () => (await list()).length === 0);
  rmSync(join(world.root, FOLDER));
  mkdirSync(join(world.root, FOLDER));
});
