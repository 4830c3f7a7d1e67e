/** Shutdowns and sleeps where /run takes nothing, a step fails, or a file is damaged. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { close, now } from "../../lib/linux/index.ts";
import { errorOf } from "../login1/support/power-world.ts";
import { DAMAGES, PLACES, stateText } from "./damages.ts";
import { FaultyPower } from "./power-faults.ts";
import { breakRun, FAULTS, mendRun } from "./run-folder.ts";

const MINUTE = 60_000_000n;
const OPERATION = "run/systemd/operation";
const SCHEDULED = "run/systemd/shutdown/scheduled";
const NOTHING = ["", 0xffffffffffffffffn];

let faulty: FaultyPower;
beforeAll(async () => {
  faulty = await FaultyPower.create();
});
afterAll(() => faulty.power.end());
beforeEach(async () => {
  await mendRun(faulty.world);
  await faulty.reset();
});

const until = (what: string, probe: () => boolean) => faulty.world.until(what, probe);
const schedule = (type: string, microseconds: bigint) =>
  faulty.power.call("ScheduleShutdown", "st", type, now().realtime + microseconds);
const scheduled = () => faulty.power.property("ScheduledShutdown");
const nologin = () => faulty.power.exists("run/nologin");
async function restart(): Promise<void> {
  await faulty.world.endBridge("SIGKILL");
  await faulty.world.startBridge();
}
/** The lines of the log that name a path, from a place in it on. */
const lines = (from: number, path: string) =>
  faulty.world.log
    .slice(from)
    .split("\n")
    .filter((line) => line.includes(`/${path} `) || line.includes(`/${path}:`));

describe.each(FAULTS)("with /run %s", (fault) => {
  test.each([
    ["PowerOff", "poweroff"],
    ["Reboot", "reboot"],
    ["Halt", "halt"],
  ])("%s tells init, and the file says so when it can be written", async (member, way) => {
    const from = faulty.world.log.length;
    await breakRun(faulty.world, fault);
    await faulty.power.call(member, "b", false);
    expect(faulty.told).toEqual([`--${way} now`]);
    expect(faulty.power.exists(OPERATION)).toBe(false);
    await until("it is logged", () => lines(from, OPERATION).length > 0);
    await mendRun(faulty.world);
    await until("the file", () => faulty.power.exists(OPERATION));
    expect(faulty.power.read(OPERATION)).toContain(`WAY=${way}\nSTAGE=doing\n`);
    expect(lines(from, OPERATION).length).toBe(1);
  });

  test("a shutdown that fails is over, and the next one comes", async () => {
    faulty.failShutdown(true);
    await breakRun(faulty.world, fault);
    expect(await errorOf(faulty.power.call("PowerOff", "b", false))).toBe("Failed");
    expect(await faulty.power.property("PreparingForShutdown")).toBe(false);
    faulty.failShutdown(false);
    await faulty.power.call("Reboot", "b", false);
    expect(faulty.told).toEqual(["--poweroff now", "--reboot now"]);
  });

  test("a shutdown is scheduled and comes", async () => {
    await breakRun(faulty.world, fault);
    await schedule("poweroff", 500_000n);
    expect(await scheduled()).toEqual(["poweroff", expect.any(BigInt)]);
    await until("init is told", () => faulty.told.length === 1);
    expect(faulty.told).toEqual(["--poweroff now"]);
  });

  test("what is scheduled is in its file when there is room, also for the next bridge", async () => {
    await breakRun(faulty.world, fault);
    await schedule("halt", 4n * MINUTE);
    await mendRun(faulty.world);
    await until("the file", () => faulty.power.exists(SCHEDULED));
    await until("no logins", nologin);
    await restart();
    expect(await scheduled()).toEqual(["halt", expect.any(BigInt)]);
    expect(await faulty.power.ask("CancelScheduledShutdown")).toBe(true);
    expect(nologin()).toBe(false);
  });

  test("what is called off stays so when there is room, also for the next bridge", async () => {
    await schedule("halt", 4n * MINUTE);
    await until("no logins", nologin);
    await breakRun(faulty.world, fault);
    expect(await faulty.power.ask("CancelScheduledShutdown")).toBe(true);
    expect(await scheduled()).toEqual(NOTHING);
    await mendRun(faulty.world);
    await until("logins", () => !nologin() && !faulty.power.exists(SCHEDULED));
    await restart();
    expect(await scheduled()).toEqual(NOTHING);
    expect(faulty.told).toEqual([]);
  });

  test("the machine sleeps, and is free afterwards", async () => {
    await breakRun(faulty.world, fault);
    await faulty.power.call("Suspend", "b", false);
    await until("the news", () => faulty.power.signals.length === 2);
    expect(faulty.power.signals).toEqual(["PrepareForSleep true", "PrepareForSleep false"]);
    expect(faulty.state).toBe("mem");
    await faulty.power.call("PowerOff", "b", false);
    expect(faulty.told).toEqual(["--poweroff now"]);
  });

  test("a delay inhibitor made then is waited for", async () => {
    await breakRun(faulty.world, fault);
    const fd = await faulty.power.inhibit("shutdown", "delay");
    await faulty.power.call("PowerOff", "b", false);
    await until("the news", () => faulty.power.signals.includes("PrepareForShutdown true"));
    expect(faulty.told).toEqual([]);
    close(fd);
    await until("init is told", () => faulty.told.length === 1);
  });

  test("a shutdown that waits is called off", async () => {
    const fd = await faulty.power.inhibit("shutdown", "delay");
    await faulty.power.call("PowerOff", "b", false);
    await breakRun(faulty.world, fault);
    expect(await faulty.power.ask("CancelScheduledShutdown")).toBe(true);
    await mendRun(faulty.world);
    await until("nothing is under way", () => !faulty.power.exists(OPERATION));
    await restart();
    close(fd);
    expect(faulty.told).toEqual([]);
    expect(await faulty.power.property("PreparingForShutdown")).toBe(false);
  });
});

describe("logins that a scheduled shutdown has closed are open again", () => {
  const near = async () => {
    await schedule("poweroff", 3n * MINUTE);
    await until("no logins", nologin);
  };

  test("after a shutdown in its place that fails", async () => {
    await near();
    faulty.failShutdown(true);
    expect(await errorOf(faulty.power.call("PowerOff", "b", false))).toBe("Failed");
    expect(nologin()).toBe(false);
    expect(await scheduled()).toEqual(NOTHING);
  });

  test("after one in its place that is called off, by the next bridge too", async () => {
    for (const again of [async () => {}, restart]) {
      await near();
      const fd = await faulty.power.inhibit("shutdown", "delay");
      await faulty.power.call("PowerOff", "b", false);
      await again();
      expect(nologin()).toBe(true);
      expect(await faulty.power.ask("CancelScheduledShutdown")).toBe(true);
      expect(nologin()).toBe(false);
      close(fd);
      await faulty.world.until("no inhibitor", async () => {
        return (await faulty.power.property("DelayInhibited")) === "";
      });
    }
    expect(faulty.told).toEqual([]);
  });

  test("after one that comes and fails", async () => {
    faulty.failShutdown(true);
    await schedule("poweroff", 200_000n);
    await until("init is told", () => faulty.told.length === 1);
    await until("logins", () => !nologin());
    expect(await scheduled()).toEqual(NOTHING);
    expect(faulty.power.exists(SCHEDULED)).toBe(false);
  });

  test("after one that waits for an inhibitor, comes and fails", async () => {
    faulty.failShutdown(true);
    const fd = await faulty.power.inhibit("shutdown", "delay");
    await schedule("poweroff", 200_000n);
    await until("it waits", () => faulty.power.signals.includes("PrepareForShutdown true"));
    close(fd);
    await until("logins", () => faulty.told.length === 1 && !nologin());
    expect(await scheduled()).toEqual(NOTHING);
  });

  test("when it is put off to later, and not when it is put off by little", async () => {
    await near();
    await schedule("poweroff", 4n * MINUTE);
    expect(nologin()).toBe(true);
    await schedule("poweroff", 600n * MINUTE);
    expect(nologin()).toBe(false);
    expect(faulty.told).toEqual([]);
  });

  test("and stay closed where the machine goes down, or somebody else has closed them", async () => {
    await near();
    await faulty.power.call("PowerOff", "b", false);
    expect(nologin()).toBe(true);
    await faulty.reset();
    faulty.power.write("run/nologin", "maintenance\n");
    await schedule("poweroff", 600n * MINUTE);
    expect(await faulty.power.ask("CancelScheduledShutdown")).toBe(true);
    await restart();
    expect(faulty.power.read("run/nologin")).toBe("maintenance\n");
  });
});

test("a shutdown that is due during a sleep comes after it", async () => {
  faulty.hook("slow", '[ "$1" = pre ] || sleep 1.5');
  await faulty.power.call("Suspend", "b", false);
  await until("the machine has slept", () => faulty.state === "mem");
  await schedule("reboot", 200_000n);
  await until("init is told", () => faulty.told.length === 1);
  expect(faulty.told).toEqual(["--reboot now"]);
  await until("the news", () => faulty.power.signals.includes("PrepareForShutdown true"));
  expect(faulty.power.signals).toEqual([
    "PrepareForSleep true",
    "PrepareForSleep false",
    "PrepareForShutdownWithMetadata true reboot",
    "PrepareForShutdown true",
  ]);
});

test("one that is taken back while it waits for a sleep's end does not come", async () => {
  faulty.hook("slow", '[ "$1" = pre ] || sleep 1');
  await faulty.power.call("Suspend", "b", false);
  await until("the machine has slept", () => faulty.state === "mem");
  await schedule("reboot", 100_000n);
  await until("it waits", () =>
    faulty.world.log.includes("reboot is due, and comes after suspend"),
  );
  expect(await faulty.power.ask("CancelScheduledShutdown")).toBe(true);
  await until("it is over", () => faulty.power.signals.includes("PrepareForSleep false"));
  // The answer to this comes after what the end of the sleep set off.
  expect(await faulty.power.property("PreparingForShutdown")).toBe(false);
  expect(faulty.told).toEqual([]);
});

test("a hook that cannot be looked at is named, and keeps none of the others from deciding", async () => {
  faulty.hook("decides", "exit 7");
  const circle = "ln -s circle /etc/lainos/sleep.d/circle";
  expect((await faulty.world.run(["sh", "-c", circle])).code).toBe(0);
  const refusal = await faulty.power.call("Suspend", "b", false).catch((error) => error);
  expect(refusal.message).toContain("sleep.d/decides failed with exit status 7");
  expect(faulty.state).toBe("freeze mem disk\n");
  await until("it is named", () => /sleep\.d\/circle does not run: .*ELOOP/.test(faulty.world.log));
});

describe("a damaged file is passed over, with a line in the log:", () => {
  const expectNothing = async (from: number, path: string) => {
    expect(lines(from, path).length).toBe(1);
    expect(await scheduled()).toEqual(NOTHING);
    expect(await faulty.power.property("PreparingForShutdown")).toBe(false);
    expect(await faulty.power.property("PreparingForSleep")).toBe(false);
    expect([faulty.told, faulty.state]).toEqual([[], "freeze mem disk\n"]);
    expect(faulty.power.exists(path)).toBe(false);
  };
  const startWith = async (write: () => void | Promise<void>) => {
    await faulty.world.endBridge("SIGKILL");
    await write();
    const from = faulty.world.log.length;
    await faulty.world.startBridge();
    return from;
  };

  test.each(["WAY", "STAGE"])(
    "%s of what was under way",
    async (key) => {
      for (const damage of DAMAGES) {
        const values = { WAY: "poweroff", STAGE: "doing", [key]: damage };
        const from = await startWith(() => faulty.power.write(OPERATION, stateText(values)));
        await expectNothing(from, OPERATION);
      }
    },
    120_000,
  );

  // 0 and 1 are what they may be: no dry run, and root's.
  test.each(["MODE", "USEC", "UID", "DRY_RUN"])(
    "%s of what is scheduled",
    async (key) => {
      for (const damage of DAMAGES) {
        // It would be due now.
        const values = { MODE: "poweroff", USEC: "1", UID: "0", DRY_RUN: "0", [key]: damage };
        if (key === "DRY_RUN" && damage === undefined) continue;
        const from = await startWith(() => faulty.power.write(SCHEDULED, stateText(values)));
        await expectNothing(from, SCHEDULED);
      }
    },
    120_000,
  );

  test.each(["\\033[2J", "x".repeat(5000), "\\000"])("a wall message %#", async (message) => {
    const due = String(now().realtime + 600n * MINUTE);
    const values = {
      MODE: "poweroff",
      USEC: due,
      UID: "0",
      WALL_MESSAGE: `"${message.replaceAll("\\", "\\\\")}"`,
    };
    const from = await startWith(() => faulty.power.write(SCHEDULED, stateText(values)));
    await expectNothing(from, SCHEDULED);
    expect(await faulty.power.property("WallMessage")).toBe("");
  });

  test.each(PLACES)(
    "%s in its place",
    async (_what, script) => {
      for (const [path, text] of [
        [OPERATION, "WAY=poweroff\nSTAGE=doing\n"],
        [SCHEDULED, "MODE=poweroff\nUSEC=1\nUID=0\n"],
      ] as const) {
        const from = await startWith(async () => {
          faulty.power.write("run/good", text);
          const words = [
            "sh",
            "-euc",
            `mkdir -p "$(dirname "$1")"; ${script}`,
            "sh",
            `/${path}`,
            "/run/good",
          ];
          faulty.power.remove(path);
          expect(await faulty.world.run(words)).toMatchObject({ code: 0 });
        });
        await expectNothing(from, path);
        expect(faulty.power.read("run/good")).toBe(text);
      }
    },
    60_000,
  );
});
