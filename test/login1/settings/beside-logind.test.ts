/**
 * Random logind.confs, read by the bridge and by systemd-logind: the properties that tell of them are the
 * same. P7_SEED=N repeats a run; the seed of each is printed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { callManager, getProperty, hasOwner, MANAGER } from "../support/client.ts";
import { randomValue, type ValueKind } from "../support/random-conf.ts";
import { Random } from "../support/random-source.ts";
import { World } from "../support/world.ts";

const LOGIND = "/usr/lib/systemd/systemd-logind";
const ROUNDS = 60;

/** The keys that a property tells of, with their properties' names. */
const KEYS: readonly (readonly [key: string, kind: ValueKind, property: string])[] = [
  ["InhibitDelayMaxSec", "time", "InhibitDelayMaxUSec"],
  ["UserStopDelaySec", "time", "UserStopDelayUSec"],
  ["HoldoffTimeoutSec", "time", "HoldoffTimeoutUSec"],
  ["IdleActionSec", "time", "IdleActionUSec"],
  ["StopIdleSessionSec", "time", "StopIdleSessionUSec"],
  ["SessionsMax", "number", "SessionsMax"],
  ["RuntimeDirectorySize", "size", "RuntimeDirectorySize"],
  ["RuntimeDirectoryInodesMax", "size", "RuntimeDirectoryInodesMax"],
  ["KillUserProcesses", "boolean", "KillUserProcesses"],
  ["RemoveIPC", "boolean", "RemoveIPC"],
  ["WallMessages", "boolean", "EnableWallMessages"],
  ["KillOnlyUsers", "words", "KillOnlyUsers"],
  ["KillExcludeUsers", "words", "KillExcludeUsers"],
  ["SleepOperation", "sleeps", "SleepOperation"],
  ["DesignatedMaintenanceTime", "calendar", "DesignatedMaintenanceTime"],
  ...[
    ...["HandlePowerKey", "HandlePowerKeyLongPress", "HandleRebootKey", "HandleSuspendKey"],
    ...["HandleLidSwitch", "HandleLidSwitchExternalPower", "HandleLidSwitchDocked"],
    ...["HandleSecureAttentionKey", "IdleAction"],
  ].map((key) => [key, "action", key] as const),
];

/** A server in a world of its own, and how it is given a configuration. */
interface Side {
  readonly world: World;
  readonly bus: Connection;
  /** Where drop-ins are. */
  readonly folder: string;
  reload(): unknown;
}

describe.skipIf(!existsSync(LOGIND))("beside systemd-logind", () => {
  let ours: Side;
  let theirs: Side;
  /** It tells that the files were read again: SIGHUP has no answer. */
  let count = 0;

  beforeAll(async () => {
    const world = await World.create();
    const bus = await world.connect();
    const reload = () => callManager(bus, "Reload");
    ours = { world, bus, folder: join(world.root, "run/lainos/logind.conf.d"), reload };

    const other = await World.create({ bridge: [] });
    const words = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", LOGIND];
    const child = Bun.spawn(other.inside(words), { stdio: ["ignore", "ignore", "ignore"] });
    const otherBus = await other.connect();
    await other.until("systemd-logind is on the bus", () =>
      hasOwner(otherBus, "org.freedesktop.login1"),
    );
    theirs = {
      world: other,
      bus: otherBus,
      folder: join(other.root, "run/systemd/logind.conf.d"),
      reload: () => child.kill("SIGHUP"),
    };
    for (const { folder } of [ours, theirs]) mkdirSync(folder, { recursive: true });
  });
  afterAll(async () => {
    for (const { bus, world } of [ours, theirs]) {
      bus.close();
      await world.end();
    }
  });

  /** What a server says of a configuration. */
  async function shown({ world, bus, folder, reload }: Side, text: string): Promise<unknown[]> {
    const get = (name: string) => getProperty(bus, MANAGER, "Manager", name);
    writeFileSync(join(folder, "50-test.conf"), text);
    writeFileSync(join(folder, "99-count.conf"), `[Login]\nInhibitorsMax=${count}\n`);
    await reload();
    await world.until("it was read", async () => (await get("InhibitorsMax")) === BigInt(count));
    return await Promise.all(KEYS.map(([, , property]) => get(property)));
  }

  /** What of it the two say otherwise. */
  async function differences(lines: readonly string[]): Promise<unknown[]> {
    count++;
    // Where ours has another default on purpose.
    const text = ["[Login]", "UserStopDelaySec=7s", ...lines, ""].join("\n");
    const [here, there] = [await shown(ours, text), await shown(theirs, text)];
    return KEYS.flatMap(([, , property], index) =>
      Bun.deepEquals(here[index], there[index])
        ? []
        : [{ property, ours: here[index], logind: there[index], lines }],
    );
  }

  test("nothing is configured", async () => {
    expect(await differences([])).toEqual([]);
  });

  test(`${ROUNDS} times random values for each key`, async () => {
    const seed = Number(process.env.P7_SEED ?? Math.floor(Math.random() * 2 ** 32));
    process.stdout.write(`P7_SEED=${seed}\n`);
    const random = new Random(seed);
    for (let round = 0; round < ROUNDS; round++) {
      const lines = KEYS.flatMap(([key, kind]) =>
        Array.from({ length: random.oneIn(4) ? 2 : 1 }, () => {
          const equals = random.of(["=", "=", "= ", " = ", "\t="]);
          return `${key}${equals}${randomValue(random, kind)}`;
        }),
      );
      expect(await differences(lines)).toEqual([]);
    }
  }, 600_000);
});
