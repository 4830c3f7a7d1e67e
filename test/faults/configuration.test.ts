/** logind.conf and sleep.conf that are damaged: the bridge starts, reads again, and goes by what is usual. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { close } from "../../lib/linux/index.ts";
import { SETTINGS } from "../login1/support/power-world.ts";
import { quietFor } from "../support/until.ts";
import { DAMAGES, PLACES } from "./damages.ts";
import { FaultyPower } from "./power-faults.ts";

let faulty: FaultyPower;
beforeAll(async () => {
  faulty = await FaultyPower.create();
});
afterAll(() => faulty.power.end());
beforeEach(() => faulty.reset());

const FILES = [
  ["etc/lainos/logind.conf", "Login", "InhibitorsMax"],
  ["etc/lainos/sleep.conf", "Sleep", "AllowSuspend"],
] as const;

/** Of those that are damages elsewhere: a number to the base 16, the largest, and a NUL that ends the line. */
const RIGHT = ["0x10", "18446744073709551615", "1\0"];

/** What the two keys are without a word of the files. */
const expectUsual = async () => {
  expect(await faulty.power.property("InhibitorsMax")).toBe(8192n);
  expect(await faulty.power.ask("CanSuspend")).toBe("yes");
};

describe.each(FILES)("%s", (path, section, key) => {
  test("a wrong value is named in one line, and the usual one counts", async () => {
    for (const damage of DAMAGES.filter((value) => value && !RIGHT.includes(value))) {
      const from = faulty.world.log.length;
      faulty.power.write(path, `[${section}]\n${key}=${damage}\n`);
      await faulty.power.call("Reload");
      await expectUsual();
      await faulty.world.until("it is named", () =>
        faulty.world.log.slice(from).includes("read again"),
      );
      const said = faulty.world.log
        .slice(from)
        .split("\n")
        .filter((line) => line.includes(key));
      expect(said.length).toBe(1);
      expect(said[0]).toContain(`/${path}:2: ${key}= is '`);
      expect(said[0]?.length).toBeLessThan(600);
    }
  });

  // Anybody's file may be linked to or put there by whoever may write in /etc.
  test.each(PLACES.filter(([what]) => !["a link", "another user's file"].includes(what)))(
    "%s in its place",
    async (_what, script) => {
      faulty.power.write("run/good", `[${section}]\n`);
      faulty.power.write("etc/lainos/none", "");
      const words = ["sh", "-euc", script, "sh", `/${path}`, "/run/good"];
      expect(await faulty.world.run(words)).toMatchObject({ code: 0 });
      await faulty.power.call("Reload");
      await expectUsual();
      await faulty.world.endBridge("SIGKILL");
      await faulty.world.startBridge();
      await expectUsual();
    },
  );
});

test.each(["etc/lainos", "etc/lainos/logind.conf.d", "etc/lainos/sleep.conf.d"])(
  "%s that is a link in a circle is named, and the bridge starts",
  async (folder) => {
    const circle = 'mkdir -p "$(dirname "$1")"; rm -rf "$1"; ln -s "$(basename "$1")" "$1"';
    expect(await faulty.world.run(["sh", "-euc", circle, "sh", `/${folder}`])).toMatchObject({
      code: 0,
    });
    const from = faulty.world.log.length;
    await faulty.world.endBridge("SIGKILL");
    await faulty.world.startBridge();
    await expectUsual();
    expect(faulty.world.log.slice(from)).toContain(`/${folder}: ELOOP`);
  },
);

test.each(["infinity", "18446744073708", "2147483648"])(
  "a delay of %s is waited for, and in its property",
  async (span) => {
    faulty.power.write(
      "run/lainos/logind.conf",
      `[Login]\nWallMessages=no\nInhibitDelayMaxSec=${span}\n`,
    );
    await faulty.power.call("Reload");
    const most = span === "infinity" ? 2n ** 64n - 1n : BigInt(span) * 1_000_000n;
    expect(await faulty.power.property("InhibitDelayMaxUSec")).toBe(most);
    const fd = await faulty.power.inhibit("shutdown", "delay");
    await faulty.power.call("PowerOff", "b", false);
    expect(await faulty.power.property("PreparingForShutdown")).toBe(true);
    // A timer that is too long for the language fires at once.
    await quietFor(50, "init is told");
    expect(faulty.told).toEqual([]);
    close(fd);
    await faulty.world.until("init is told", () => faulty.told.length === 1);
    faulty.power.write("run/lainos/logind.conf", SETTINGS);
    await faulty.power.call("Reload");
  },
);

test("as many inhibitors as 64 bits can say are in the property as they are", async () => {
  faulty.power.write("etc/lainos/logind.conf", "[Login]\nInhibitorsMax=18446744073709551614\n");
  await faulty.power.call("Reload");
  expect(await faulty.power.property("InhibitorsMax")).toBe(2n ** 64n - 2n);
  close(await faulty.power.inhibit("idle", "block"));
});
