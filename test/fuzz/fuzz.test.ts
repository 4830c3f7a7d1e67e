/**
 * Messages that are wrong in every way that chance finds, with descriptors of every kind: nothing
 * crashes or hangs, each right call is answered, and the daemons are afterwards what they were.
 *
 * P7_SEED=N repeats a run; FULL=1 sends a million messages each. See docs/fuzz.md.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buildProgram } from "../../testbed/live/security/programs.ts";
import { World } from "../login1/support/world.ts";
import { anonymous, heldBy } from "../scale/bridge-process.ts";

const REPOSITORY = resolve(import.meta.dir, "../..");
const SEED = Number(process.env.P7_SEED ?? Date.now() % 2 ** 31);
const FULL = process.env.FULL === "1";
/** How many messages of each protocol. */
const COUNT = FULL ? 1_000_000 : 8_000;
const TIMEOUT = FULL ? 7_200_000 : 120_000;
/** A user of no rights: for root some of these messages would be orders. */
const NOBODY = 65534;
/** What JavaScriptCore's heap and the tables of senders may take, in KiB; a leak is more. */
const MOST_GROWTH = 96 * 1024;

/** Sockets that a daemon opens at its first need of them, and keeps. */
const SPARE = 2;

const PROGRAM = "/run/fuzz";
const MEMBERS = "/run/members";
const BUS = "/run/fuzz-bus";

let folder: string;
/** With a real bus, login1 and lainos-notifyd. */
let world: World;
/** With login1 alone, whose bus is the attacker. */
let bare: World;

beforeAll(async () => {
  console.log(`P7_SEED=${SEED}`);
  folder = mkdtempSync(join(tmpdir(), "p7-fuzz-"));
  const program = join(folder, "fuzz");
  await buildProgram(join(import.meta.dir, "fuzz.c"), program);
  world = await World.create();
  await world.startNotifyd();
  bare = await World.create({ bridge: [] });
  for (const { root } of [world, bare]) {
    copyFileSync(program, `${root}${PROGRAM}`);
    writeFileSync(`${root}${MEMBERS}`, members());
  }
}, 60_000);
afterAll(async () => {
  await world?.end();
  await bare?.end();
  rmSync(folder, { recursive: true });
});

/** Every method that login1 may have, with its interface and signature, for the attacker to choose. */
function members(): string {
  const table = readFileSync(join(REPOSITORY, "testbed/members/login1.tsv"), "utf8");
  const lines = table
    .split("\n")
    .map((line) => line.split("\t"))
    .filter(([, kind]) => kind === "method")
    .map(([interfaceName, , name, signature]) =>
      [`org.freedesktop.login1.${interfaceName}`, name, signature].join("\t"),
    );
  const more = [
    "org.freedesktop.DBus.Properties\tGet\tss",
    "org.freedesktop.DBus.Properties\tGetAll\ts",
    "org.freedesktop.DBus.Properties\tSet\tssv",
    "org.freedesktop.DBus.Introspectable\tIntrospect\t",
    "org.freedesktop.DBus.Peer\tPing\t",
    "org.freedesktop.systemd1.Manager\tGetUnitProcesses\ts",
    "org.lainos.Session1\tAnnounceDesktop\ts",
  ];
  return `${[...lines, ...more].join("\n")}\n`;
}

/** Runs fuzz.c to its end; what it printed. */
async function fuzz(
  target: string,
  count: number,
  ...words: string[]
): Promise<Map<string, string>> {
  const command = [PROGRAM, target, String(SEED), String(count), ...words];
  const done = await world.run(command, { user: NOBODY });
  const said = new Map(
    done.stdout.matchAll(/^(\w+)=(.*)$/gm).map(([, key = "", value = ""]) => [key, value]),
  );
  expect({ failed: said.get("failed"), stderr: done.stderr, code: done.code }).toEqual({
    failed: undefined,
    stderr: "",
    code: 0,
  });
  return said;
}

/** What the descriptors of a process are, for a failure that says which are too many. */
function kindsOf(pid: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const kind = readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:?\[\d+\]$/, "");
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

/** Runs `work` on a daemon that is warm, and holds what it has afterwards against what it had. */
async function unchanged(pid: number, warm: () => Promise<unknown>, work: () => Promise<unknown>) {
  await warm();
  const [memory, { descriptors }, kinds] = [anonymous(pid), heldBy(pid), kindsOf(pid)];
  await work();
  for (let tries = 0; tries < 100 && heldBy(pid).descriptors > descriptors + SPARE; tries++) {
    await Bun.sleep(100);
  }
  if (heldBy(pid).descriptors > descriptors + SPARE) expect(kindsOf(pid)).toEqual(kinds);
  expect(anonymous(pid) - memory).toBeLessThan(MOST_GROWTH);
}

describe(`${COUNT} messages`, () => {
  test(
    "on the bus, through dbus-daemon",
    async () => {
      await unchanged(
        world.bridgePid,
        () => fuzz("bus", COUNT / 10, MEMBERS),
        () => fuzz("bus", COUNT, MEMBERS),
      );
    },
    TIMEOUT,
  );

  test(
    "by varlink",
    async () => {
      const socket = "/run/systemd/io.systemd.Login";
      await unchanged(
        world.bridgePid,
        () => fuzz("varlink", COUNT / 10, socket),
        () => fuzz("varlink", COUNT, socket),
      );
    },
    TIMEOUT,
  );

  test(
    "by sd_notify",
    async () => {
      await unchanged(
        world.notifydPid,
        () => fuzz("notify", COUNT / 10, "/run/systemd/notify"),
        () => fuzz("notify", COUNT, "/run/systemd/notify"),
      );
    },
    TIMEOUT,
  );

  test(
    "to the descriptor store",
    async () => {
      await unchanged(
        world.notifydPid,
        () => fuzz("fdstore", COUNT / 10, "/run/lainos/fdstore"),
        () => fuzz("fdstore", COUNT, "/run/lainos/fdstore"),
      );
    },
    TIMEOUT,
  );

  test(
    "by a bus that passes on what no bus would",
    async () => {
      const words = [PROGRAM, "transport", String(SEED), String(COUNT), MEMBERS, BUS];
      const attacker = Bun.spawn(bare.inside(words), { stdout: "pipe", stderr: "inherit" });
      const bridge = Bun.spawn(
        bare.inside([process.execPath, join(REPOSITORY, "cmd/dbus-bridge.ts")]),
        {
          env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${BUS}` },
          stdout: "ignore",
          stderr: Bun.file(join(folder, "bridge.log")),
        },
      );
      try {
        const said = await new Response(attacker.stdout).text();
        await attacker.exited;
        const log = readFileSync(join(folder, "bridge.log"), "utf8").slice(-2000);
        const failed = /^failed=(.*)$/m.exec(said)?.[1];
        expect({ failed, log: failed && log }).toEqual({ failed: undefined, log: undefined });
        expect(bridge.exitCode).toBe(null);
        expect(anonymous(bridge.pid)).toBeLessThan(2 * MOST_GROWTH);
      } finally {
        bridge.kill("SIGKILL");
        await bridge.exited;
      }
    },
    TIMEOUT,
  );
});
