/** Clients that mean no good: everybody else is still answered, and the bridge does not grow without end. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { visible } from "../../lib/cli/log.ts";
import type { Connection } from "../../lib/dbus/index.ts";
import { close } from "../../lib/linux/index.ts";
import { parseState } from "../../lib/sd-login/index.ts";
import { callManager, createSession } from "../login1/support/client.ts";
import { compile } from "../login1/support/probe.ts";
import { World } from "../login1/support/world.ts";
import { anonymous, heldBy } from "./bridge-process.ts";

const MALLORY = 65534;
const LIMIT = "org.freedesktop.DBus.Error.LimitsExceeded";
const DENIED = "org.freedesktop.DBus.Error.AccessDenied";
/** What the bridge may grow by under a flood, in KiB: JavaScriptCore's heap takes 30 MB by itself. */
const MOST_GROWTH = 150 * 1024;

let world: World;
let bus: Connection;
let folder: string;
/** How many calls come at once. */
const CALLS = 5000;
const PROGRAM = "/run/hostile";
const floods: Bun.Subprocess[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "p7-hostile-"));
  world = await World.create();
  bus = await world.connect();
  const built = await compile(join(import.meta.dir, "hostile.c"), "-lsystemd", folder);
  copyFileSync(built, `${world.root}${PROGRAM}`);
});
afterEach(async () => {
  const ended = floods.splice(0);
  for (const flood of ended) flood.kill("SIGKILL");
  await Promise.all(ended.map((flood) => flood.exited));
  await world.reset(bus);
});
afterAll(async () => {
  bus.close();
  await world.end();
  rmSync(folder, { recursive: true });
});

/** Starts hostile.c as a user, and waits for what it says up to a line. */
async function start(last: string, words: string[], user = MALLORY): Promise<Map<string, number>> {
  const child = Bun.spawn(world.inside([PROGRAM, ...words], { user }), {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  floods.push(child);
  let said = "";
  for await (const chunk of child.stdout) {
    said += Buffer.from(chunk).toString();
    if (!said.endsWith(`${last}\n`)) continue;
    const counts = said.matchAll(/^(.+)=(\d+)$/gm);
    return new Map([...counts].map(([, name = "", count]) => [name, Number(count)]));
  }
  throw new Error(`hostile ${words.join(" ")} ended`);
}

const inhibitors = async () => (await callManager(bus, "ListInhibitors"))[0] as unknown[][];

/** What another client does meanwhile. Each call has the 25 s that a client waits. */
async function useBridge(calls = 50): Promise<void> {
  for (let call = 0; call < calls; call++) await callManager(bus, "ListSessions");
  const leader = await world.leader();
  const { fd, id } = await createSession(bus, { uid: MALLORY, leader: leader.pid });
  await callManager(bus, "ReleaseSession", "s", [id]);
  close(fd);
}

describe("while others send more than they should", () => {
  test("one that always has 64 calls on their way does not shut others out", async () => {
    const before = anonymous(world.bridgePid);
    await start("sending", ["busy"]);
    await useBridge();
    expect(anonymous(world.bridgePid) - before).toBeLessThan(MOST_GROWTH);
  }, 90_000);

  for (const mode of ["calls", "silent"]) {
    test(`${CALLS} ${mode} at once, whose replies nobody reads, are got over`, async () => {
      const before = anonymous(world.bridgePid);
      await start("sending", [mode, String(CALLS)]);
      await useBridge();
      expect(anonymous(world.bridgePid) - before).toBeLessThan(MOST_GROWTH);
    }, 90_000);

    test(`${mode} without end do not shut others out`, async () => {
      const before = anonymous(world.bridgePid);
      await start("sending", [mode]);
      // dbus-daemon itself is busy with the flood, and each takes about a second.
      await useBridge(8);
      expect(anonymous(world.bridgePid) - before).toBeLessThan(MOST_GROWTH);
    }, 90_000);
  }
});

describe("who asks for too much", () => {
  test("of inhibitors gets an eighth of all, and root and others still get theirs", async () => {
    const before = heldBy(world.bridgePid);
    const got = await start("end", ["inhibit", "2000"]);
    expect(Object.fromEntries(got)).toEqual({ answered: 1024, [LIMIT]: 976 });
    // Another connection of the same user does not help.
    expect(Object.fromEntries(await start("end", ["inhibit", "5"]))).toEqual({
      answered: 0,
      [LIMIT]: 5,
    });
    expect((await start("end", ["inhibit", "5"], 1)).get("answered")).toBe(5);
    const [fd] = await callManager(bus, "Inhibit", "ssss", ["sleep", "root", "may", "block"]);
    expect(await inhibitors()).toHaveLength(1030);
    // Also after a restart nobody gets more.
    await world.endBridge("SIGKILL");
    await world.startBridge();
    expect(await inhibitors()).toHaveLength(1030);
    expect((await start("end", ["inhibit", "5"])).get(LIMIT)).toBe(5);
    for (const flood of floods) flood.kill("SIGKILL");
    await world.until("only root's is left", async () => (await inhibitors()).length === 1, 30_000);
    // And who has given them back gets some again.
    expect((await start("end", ["inhibit", "5"])).get("answered")).toBe(5);
    close(fd as number);
    for (const flood of floods) flood.kill("SIGKILL");
    await world.until("none is left", async () => (await inhibitors()).length === 0, 30_000);
    expect(heldBy(world.bridgePid).descriptors).toBeLessThan(before.descriptors + 10);
  }, 90_000);

  test("of sessions, and is not root, gets none", async () => {
    expect(Object.fromEntries(await start("end", ["create", "1000"]))).toEqual({
      answered: 0,
      [DENIED]: 1000,
    });
    expect((await callManager(bus, "ListSessions"))[0]).toEqual([]);
    expect(readdirSync(`${world.root}/run/systemd/users`)).toEqual([]);
  }, 60_000);

  test("of another's session gets neither control nor devices, and of the own no strange device", async () => {
    const leader = await world.leader();
    const { fd, path } = await createSession(bus, { uid: 1, leader: leader.pid, seat: "seat0" });
    const before = heldBy(world.bridgePid);
    const NOT_IN_CONTROL = "org.freedesktop.login1.NotInControl";
    expect(Object.fromEntries(await start("end", ["control", "1000", path]))).toEqual({
      answered: 0,
      [DENIED]: 1000,
      [NOT_IN_CONTROL]: 1000,
    });
    const own = await start("end", ["control", "1000", path], 1);
    expect(own.get("answered")).toBe(1000);
    expect([...own.values()].reduce((sum, count) => sum + count)).toBe(2000);
    const after = heldBy(world.bridgePid);
    expect(after.watches).toBe(before.watches);
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
    close(fd);
  }, 60_000);
});

describe("who sends odd arguments", () => {
  const ODD = [
    "two\nlines",
    "\u001b[2Jescape",
    "UID=0\nPID=1\n",
    '"\\',
    "\u202eoverride",
    "x".repeat(255),
  ];

  test("forges no line of the log and none of a state file", async () => {
    const start = world.log.length;
    for (const text of ODD) {
      const body = ["sleep", text, text, "block"];
      const [fd] = await callManager(bus, "Inhibit", "ssss", body);
      const [name] = readdirSync(`${world.root}/run/systemd/inhibit`).filter((at) =>
        /^\d+$/.test(at),
      );
      const file = readFileSync(`${world.root}/run/systemd/inhibit/${name}`, "utf8");
      expect(file).toMatch(/^# This is private data.*\n(?:[A-Z]+=[ -~]*\n)+$/);
      const keys = [...file.matchAll(/^([A-Z]+)=/gm)].map(([, key]) => key);
      // From Linux 6.9 on a process has a number of its own.
      const KEYS = ["WHAT", "MODE", "UID", "PID", "WHO", "WHY", "FIFO"];
      expect(keys.filter((key) => key !== "PIDFDID")).toEqual(KEYS);
      expect(parseState(file).get("UID")).toBe("0");
      expect((await inhibitors())[0]?.slice(1, 3)).toEqual([text, text]);
      close(fd as number);
      await world.until("it is gone", async () => (await inhibitors()).length === 0);
      const leader = await world.leader();
      for (const key of ["service", "desktop", "tty", "display", "remoteHost", "remoteUser"]) {
        const options = { uid: MALLORY, leader: leader.pid, [key]: text };
        const made = await createSession(bus, options).catch(() => undefined);
        if (!made) continue;
        const state = readFileSync(`${world.root}/run/systemd/sessions/${made.id}`, "utf8");
        expect(state).toMatch(/^# This is private data.*\n(?:[A-Z_0-9]+=.*\n)+$/);
        expect(parseState(state).get("UID")).toBe(String(MALLORY));
        close(made.fd);
        await callManager(bus, "TerminateSession", "s", [made.id]);
        await world.until("it is gone", async () => {
          const [sessions] = (await callManager(bus, "ListSessions")) as [unknown[]];
          return sessions.length === 0;
        });
        break;
      }
      for (const member of ["GetSession", "GetSeat", "LockSession"]) {
        await expect(callManager(bus, member, "s", [text])).rejects.toThrow();
      }
    }
    const said = world.log.slice(start);
    for (const line of said.split("\n").slice(0, -1))
      expect(line).toStartWith("lainos-dbus-bridge: ");
    expect(visible(said.replaceAll("\n", ""))).toBe(said.replaceAll("\n", ""));
  }, 60_000);
});
