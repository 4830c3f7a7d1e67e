/**
 * python-dbusmock's logind, which many projects test their programs with, beside ours: what a
 * program finds there it finds here.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { ours, theirs } from "../../loginctl/both.ts";
import { busctl, introspect, LOGIN1 } from "../support/busctl.ts";
import { callManager, createSession } from "../support/client.ts";
import { World } from "../support/world.ts";

const DAEMON = 1;
const ROOT = "/org/freedesktop/login1";

/** A login1 with one session of daemon on seat0. */
interface Login1 {
  world: World;
  bus: Connection;
  session: string;
}

/** Ours. */
async function startOurs(): Promise<Login1> {
  const world = await World.create();
  const bus = await world.connect();
  const leader = await world.leader();
  const { id } = await createSession(bus, {
    ...{ uid: DAEMON, leader: leader.pid, seat: "seat0", type: "tty", service: "login" },
  });
  return { world, bus, session: id };
}

/** dbusmock's. */
async function startMock(): Promise<Login1> {
  const world = await World.create({ bridge: [] });
  // By its path: its modules are those of the distribution's Python.
  const words = ["/usr/bin/python3", "-m", "dbusmock", "--system", "--template", "logind"];
  Bun.spawn(world.inside(words), { stdio: ["ignore", "ignore", "inherit"] });
  await world.until("dbusmock is there", async () => {
    return (await world.run(["busctl", "status", LOGIN1])).code === 0;
  });
  const add = ["call", LOGIN1, ROOT, "org.freedesktop.DBus.Mock", "AddSession", "ssusb"];
  await busctl(world, ...add, "c1", "seat0", String(DAEMON), "daemon", "true");
  return { world, bus: await world.connect(), session: "c1" };
}

let mock: Login1;
let own: Login1;
beforeAll(async () => {
  [mock, own] = await Promise.all([startMock(), startOurs()]);
});
afterAll(async () => {
  for (const login1 of [mock, own]) {
    login1?.bus.close();
    await login1?.world.end();
  }
});

/** The paths of the four kinds of object, as the lists have them. */
async function paths({ bus }: Login1): Promise<Record<string, string>> {
  const first = async (member: string) => {
    const [rows] = (await callManager(bus, member)) as [unknown[][]];
    return String(rows[0]?.at(-1));
  };
  return {
    Manager: ROOT,
    User: await first("ListUsers"),
    Session: await first("ListSessions"),
    Seat: await first("ListSeats"),
  };
}

/** Where the template is not as logind has been since systemd 209 at the latest: what logind has. */
const TEMPLATE_DIFFERS: Record<string, string | undefined> = {
  // Numbers of signals, which the template takes for words.
  "method Manager.KillSession": "ssi->",
  "method Manager.KillUser": "ui->",
  "method Session.Kill": "si->",
  "method User.Kill": "i->",
  // The cgroup controllers of 2012, and what became KillUserProcesses and Scope.
  "property Session.Controllers": undefined,
  "property Session.ResetControllers": undefined,
  "property Session.KillProcesses": undefined,
  "property Session.DefaultControlGroup": undefined,
  "property User.DefaultControlGroup": undefined,
  // Hidden since every seat has it; Get still answers.
  "property Seat.CanMultiSession": undefined,
};

test("has every method and property of dbusmock's, of the same signature", async () => {
  const [theirs, ours] = [await paths(mock), await paths(own)];
  for (const kind of ["Manager", "User", "Session", "Seat"]) {
    const wanted = await introspect(mock.world, theirs[kind] ?? "");
    const found = await introspect(own.world, ours[kind] ?? "");
    expect(wanted.size).toBeGreaterThan(5);
    for (const [name, signature] of wanted) {
      const here = found.get(name);
      expect({ name, here }).toEqual({
        name,
        here: name in TEMPLATE_DIFFERS ? TEMPLATE_DIFFERS[name] : signature,
      });
    }
  }
});

describe.each([
  ["dbusmock", () => mock],
  ["ours", () => own],
])("a program sees with %s", (_, which) => {
  /** What systemd's loginctl prints, and ours too. */
  const loginctl = async (...words: string[]) => {
    const { world } = which();
    const printed = await world.run([...theirs("loginctl"), "--no-legend", ...words]);
    expect(await world.run([...ours("loginctl"), "--no-legend", ...words])).toEqual(printed);
    return printed.stdout;
  };

  test("the seat, the user and the session by loginctl", async () => {
    const { session } = which();
    expect(await loginctl("list-seats")).toBe("seat0\n");
    expect(await loginctl("show-seat", "seat0")).toContain("Id=seat0\n");
    expect(await loginctl("list-users")).toMatch(/^ *1 +daemon +no +active\n$/);
    expect(await loginctl("list-sessions")).toMatch(
      new RegExp(`^ *${session} +1 +daemon +seat0 +\\S+ +user +\\S+ +no +-\\n$`),
    );
    const shown = (await loginctl("show-session", session)).split("\n");
    for (const line of [`Id=${session}`, "Class=user", "Active=yes", "State=active"]) {
      expect(shown).toContain(line);
    }
    expect(shown).toContain("Name=daemon");
    expect(shown).toContain("LockedHint=no");
  });

  test("that no sleep or shutdown is under way, and nobody idle", async () => {
    const get = (...names: string[]) =>
      busctl(which().world, "get-property", LOGIN1, ROOT, `${LOGIN1}.Manager`, ...names);
    expect(await get("PreparingForSleep", "PreparingForShutdown", "IdleHint")).toBe(
      "b false\nb false\nb false\n",
    );
    expect(await get("IdleSinceHint", "IdleSinceHintMonotonic")).toBe("t 0\nt 0\n");
  });

  test("that a lock is signalled by the session, and its hint kept", async () => {
    const { world, bus } = which();
    const { Session: path = "" } = await paths(which());
    const heard: string[] = [];
    const match = { sender: LOGIN1, path, interface: `${LOGIN1}.Session` };
    for (const member of ["Lock", "Unlock"]) {
      await bus.onSignal({ ...match, member }, () => {
        heard.push(member);
      });
    }
    const call = (member: string, ...words: string[]) =>
      busctl(world, "call", LOGIN1, path, `${LOGIN1}.Session`, member, ...words);
    await call("Lock");
    await call("Unlock");
    await world.until("both signals", () => heard.length === 2);
    expect(heard).toEqual(["Lock", "Unlock"]);
    const hint = ["get-property", LOGIN1, path, `${LOGIN1}.Session`, "LockedHint"];
    for (const value of ["true", "false"]) {
      await call("SetLockedHint", "b", value);
      expect(await busctl(world, ...hint)).toBe(`b ${value}\n`);
    }
  });

  test("an inhibitor that is listed until its descriptor is closed", async () => {
    const { world, bus } = which();
    const listed = async () => (await callManager(bus, "ListInhibitors"))[0] as unknown[][];
    expect(await listed()).toEqual([]);
    const words = ["sleep", "a test", "to see", "delay"];
    const [fd] = await callManager(bus, "Inhibit", "ssss", words);
    expect((await listed()).map((row) => row.slice(0, 4))).toEqual([words]);
    close(Number(fd));
    await world.until("nothing is inhibited", async () => (await listed()).length === 0);
  });
});
