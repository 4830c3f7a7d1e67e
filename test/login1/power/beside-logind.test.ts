/**
 * Random sleep.confs on random machines, read by the bridge and by systemd-logind: both say the same of
 * how the machine can sleep. P7_SEED=N repeats a run; the seed of each is printed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { BusError, type Connection } from "../../../lib/dbus/index.ts";
import { callManager, hasOwner } from "../support/client.ts";
import { FAKE_KERNEL } from "../support/power-world.ts";
import { Random } from "../support/random-source.ts";
import { World } from "../support/world.ts";

const LOGIND = "/usr/lib/systemd/systemd-logind";
const ROUNDS = 150;

/** Files in the place of the kernel's. */
const SET_UP = `set -e
${FAKE_KERNEL}`;

const WAYS = ["Suspend", "Hibernate", "HybridSleep", "SuspendThenHibernate"];
const ALLOWED = ["yes", "no", "no", "", "maybe"];
/** No quote without its end: it is taken for a lack of memory, and the rest of the file is left. */
const WORDS = [
  ...[
    "mem",
    "standby",
    "freeze",
    "disk",
    "platform",
    "shutdown",
    "suspend",
    "deep",
    "s2idle",
    "none",
  ],
  ...["[platform]", "'mem'", "../disk", "fre'eze'", '"deep s2idle"', "", " "],
];
/** What the kernel says, usual things more often. */
const MACHINE: Readonly<Record<string, readonly string[]>> = {
  "power/state": ["freeze mem disk", "freeze mem disk", "mem disk", "freeze", "disk", ""],
  "power/disk": [
    ...[
      "[platform] shutdown reboot suspend test_resume",
      "[shutdown] reboot suspend",
      "[disabled]",
    ],
    "[platform] shutdown",
  ],
  "power/mem_sleep": ["s2idle [deep]", "[s2idle]"],
  "power/resume": ["7:201", "7:201", "7:201", "7:202"],
  "power/resume_offset": ["0"],
  cmdline: ["quiet resume=/dev/swap-disk", "quiet resume=/dev/swap-disk noresume"],
  swaps: [
    ...["/dev/swap-disk partition 1000000 0 -2", "/dev/swap-disk partition 1000000 0 -2"],
    ...["/dev/swap-disk partition 1000000 900000 -2", "/dev/zram0 partition 1000000 0 -2", ""],
  ],
};

describe.skipIf(!existsSync(LOGIND))("beside systemd-logind", () => {
  const worlds: World[] = [];
  let ours: Connection;
  let theirs: Connection;

  beforeAll(async () => {
    for (const _ of ["ours", "theirs"]) {
      const world = await World.create({ bridge: [] });
      worlds.push(world);
      expect(await world.run(["sh", "-c", SET_UP])).toMatchObject({ code: 0, stderr: "" });
    }
    const [here, there] = worlds as [World, World];
    here.options.bridge.push(
      ...[process.execPath, join(import.meta.dir, "../../../cmd/dbus-bridge.ts")],
    );
    await here.startBridge();
    ours = await here.connect();
    const words = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", LOGIND];
    Bun.spawn(there.inside(words), { stdio: ["ignore", "ignore", "ignore"] });
    theirs = await there.connect();
    await there.until("systemd-logind is on the bus", () =>
      hasOwner(theirs, "org.freedesktop.login1"),
    );
  });
  afterAll(async () => {
    for (const bus of [ours, theirs]) bus.close();
    for (const world of worlds) await world.end();
  });

  const write = (path: string, text: string, only = worlds) => {
    for (const { root } of only) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
  };

  /** What a server answers to Can...; systemd-logind asks PID 1, which is not here, only when it can. */
  const can = (bus: Connection) =>
    Promise.all(
      WAYS.map(async (way) => {
        try {
          return (await callManager(bus, `Can${way}`))[0];
        } catch (error) {
          if (
            bus === theirs &&
            error instanceof BusError &&
            error.errorName.endsWith("EHOSTUNREACH")
          )
            return "yes";
          throw error;
        }
      }),
    );

  test(`${ROUNDS} random machines and configurations`, async () => {
    const seed = Number(process.env.P7_SEED ?? Math.floor(Math.random() * 2 ** 32));
    process.stdout.write(`P7_SEED=${seed}\n`);
    const random = new Random(seed);
    const some = () => Array.from({ length: random.below(3) }, () => random.of(WORDS)).join(" ");
    const [here, there] = worlds as [World, World];
    write("run/fake/meminfo", "MemTotal: 900000 kB\nActive(anon): 500000 kB\n");
    const seen = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const machine: Record<string, string> = {};
      for (const [file, texts] of Object.entries(MACHINE)) {
        machine[file] = random.oneIn(2) ? (texts[0] ?? "") : random.of(texts);
        const header = file === "swaps" ? "Filename Type Size Used Priority\n" : "";
        write(`run/fake/${file}`, `${header}${machine[file]}\n`);
      }
      const lines = Array.from({ length: random.below(5) }, () =>
        random.of([
          `AllowSuspend=${random.of(ALLOWED)}`,
          `AllowHibernation=${random.of(ALLOWED)}`,
          `AllowHybridSleep=${random.of(ALLOWED)}`,
          `AllowSuspendThenHibernate=${random.of(ALLOWED)}`,
          `SuspendState=${some()}`,
          `HibernateMode=${some()}`,
          `MemorySleepMode=${some()}`,
        ]),
      );
      const text = ["[Sleep]", ...lines, ""].join("\n");
      write("run/lainos/sleep.conf.d/50-test.conf", text, [here]);
      write("run/systemd/sleep.conf.d/50-test.conf", text, [there]);
      await callManager(ours, "Reload");
      const answers = await can(ours);
      expect({ machine, lines, answers }).toEqual({ machine, lines, answers: await can(theirs) });
      for (const answer of answers) seen.add(String(answer));
    }
    expect([...seen].sort()).toEqual(["na", "no", "yes"]);
  }, 600_000);
});
