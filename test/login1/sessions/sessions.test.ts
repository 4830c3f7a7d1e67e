/** Sessions as the bus, the files and the cgroups show them, from their begin to their end. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close, openPidfd } from "../../../lib/linux/index.ts";
import { readUntil } from "../../support/read-until.ts";
import { quietFor } from "../../support/until.ts";
import { ALICE, BOB } from "../support/accounts.ts";
import {
  callManager,
  callSession,
  createSession,
  createSessionByPidfd,
  getProperty,
  sessionIds,
} from "../support/client.ts";
import { noteSignals } from "../support/signals.ts";
import { endAll, scopeOf, World } from "../support/world.ts";

let world: World;
let bus: Connection;
const events: string[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  await noteSignals(world, bus, events);
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  events.length = 0;
});
afterEach(() => world.reset(bus));

describe("a session", () => {
  test("exists in files, cgroup, runtime directory and on the bus, and all of it ends", async () => {
    const leader = await world.leader();
    const made = await createSession(bus, {
      uid: ALICE.uid,
      leader: leader.pid,
      service: "greetd",
      desktop: "sway",
      seat: "seat0",
    });
    expect(made).toMatchObject({
      path: `/org/freedesktop/login1/session/${made.id}`,
      runtimePath: `/run/user/${ALICE.uid}`,
      uid: ALICE.uid,
      seat: "seat0",
      vtnr: 0,
      existing: false,
    });
    await world.until("the news", () => events.some((event) => event.startsWith("Seat")));
    expect(events.filter((event) => /New/.test(event))).toEqual([
      `UserNew ${ALICE.uid} file`,
      `SessionNew ${made.id} file`,
    ]);
    expect(world.stateOf("sessions", made.id)).toMatchObject({
      UID: String(ALICE.uid),
      USER: ALICE.name,
      ACTIVE: "1",
      STATE: "active",
      TYPE: "wayland",
      CLASS: "user",
      SEAT: "seat0",
      DESKTOP: "sway",
      SERVICE: "greetd",
      LEADER: String(leader.pid),
      SCOPE: `session-${made.id}.scope`,
    });
    expect(world.stateOf("users", String(ALICE.uid))).toMatchObject({
      NAME: ALICE.name,
      STATE: "active",
      SESSIONS: made.id,
      ACTIVE_SESSIONS: made.id,
      DISPLAY: made.id,
    });
    expect(world.stateOf("seats", "seat0")).toMatchObject({
      ACTIVE: made.id,
      SESSIONS: made.id,
      UIDS: String(ALICE.uid),
    });
    // The kernel's number, which is 2^32-1 for none, as logind shows it.
    const audit = Number(readFileSync(`/proc/${leader.pid}/sessionid`, "utf8"));
    expect(await getProperty(bus, made.path, "Session", "Audit")).toBe(audit);
    const cgroup = readFileSync(`/proc/${leader.pid}/cgroup`, "utf8");
    const scope = scopeOf(ALICE.uid, made.id);
    expect(cgroup).toMatch(new RegExp(`^0::.*${scope}/leader$`, "m"));
    const runtime = statSync(`${world.root}/run/user/${ALICE.uid}`);
    expect([runtime.uid, runtime.mode & 0o7777]).toEqual([ALICE.uid, 0o700]);
    const mounts = await world.run(["findmnt", "-no", "FSTYPE,OPTIONS", `/run/user/${ALICE.uid}`]);
    expect(mounts.stdout).toMatch(/^tmpfs +rw,nosuid,nodev,/);

    // What another test's end brought late is behind us by now.
    events.length = 0;
    close(made.fd);
    await endAll(leader);
    await world.gone(bus, made.id);
    await world.userGone(ALICE.uid);
    await world.until("the last news", () =>
      events.some((event) => event.startsWith("UserRemoved")),
    );
    expect(events.filter((event) => /Removed/.test(event))).toEqual([
      `SessionRemoved ${made.id} no file`,
      `UserRemoved ${ALICE.uid} no file`,
    ]);
    expect(existsSync(`${world.root}/sys/fs/cgroup/user.slice/user-${ALICE.uid}.slice`)).toBe(
      false,
    );
    expect(readdirSync(`${world.root}/run/systemd/sessions`)).toEqual([]);
    expect(world.stateOf("seats", "seat0").ACTIVE).toBeUndefined();
  });

  test("ends when its descriptor is closed, and waits for what still runs in it", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    close(fd);
    await world.until("it is closing", () => world.stateOf("sessions", id).STATE === "closing");
    expect(await sessionIds(bus)).toContain(id);
    await world.until("the user's file says so", () => {
      return world.stateOf("users", String(ALICE.uid)).STATE === "closing";
    });
    await endAll(leader);
    await world.gone(bus, id);
    await world.userGone(ALICE.uid);
  });

  test("made by pidfd, it ends with its leader and not with the descriptor", async () => {
    const leader = await world.leader();
    const made = await createSessionByPidfd(bus, openPidfd(leader.pid), { uid: ALICE.uid });
    close(made.fd);
    await quietFor(100, "it ends with its descriptor");
    expect(world.stateOf("sessions", made.id).STATE).toBe("active");
    await endAll(leader);
    await world.gone(bus, made.id);
    await world.userGone(ALICE.uid);
  });

  test("whose leader is killed is closing, and what is left in it gets no signal", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const told = ["HUP", "INT", "TERM", "CONT", "USR1"].map(
      (name) => `trap 'echo ${name}' ${name};`,
    );
    const command = ["sh", "-c", `${told.join("")} echo up; read line; echo end`];
    const left = Bun.spawn(world.inside(command, { cgroup: scopeOf(ALICE.uid, id) }), {
      stdin: "pipe",
      stdout: "pipe",
    });
    await readUntil(left.stdout, /up\n/);
    await endAll(leader);
    await world.until("it is closing", () => world.stateOf("sessions", id).STATE === "closing");
    // All that the bridge did about it is done when it answers.
    expect(await sessionIds(bus)).toEqual([id]);
    left.stdin.write("\n");
    left.stdin.end();
    expect(await readUntil(left.stdout, /end\n/)).toBe("end\n");
    await world.gone(bus, id);
    close(fd);
  });

  test("terminated, all that runs in it ends", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const outcome = await world.run(["loginctl", "terminate-session", id]);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    await leader.exited;
    expect(leader.signalCode).toBe("SIGTERM");
    await world.gone(bus, id);
    await world.userGone(ALICE.uid);
    close(fd);
  });

  test("on a seat without VTs the newest is in the foreground, then the one before", async () => {
    const first = await world.leader();
    const second = await world.leader();
    const one = await createSession(bus, { uid: ALICE.uid, leader: first.pid, seat: "seat0" });
    const two = await createSession(bus, { uid: BOB.uid, leader: second.pid, seat: "seat0" });
    expect(world.stateOf("seats", "seat0").ACTIVE).toBe(two.id);
    expect(world.stateOf("sessions", one.id)).toMatchObject({ ACTIVE: "0", STATE: "online" });
    await callManager(bus, "ActivateSession", "s", [one.id]);
    expect(world.stateOf("seats", "seat0")).toMatchObject({
      ACTIVE: one.id,
      ACTIVE_UID: String(ALICE.uid),
    });
    await world.until("the change", () => events.includes(`Session ${two.id} Active=false`));
    await endAll(first);
    await world.gone(bus, one.id);
    expect(world.stateOf("seats", "seat0").ACTIVE).toBe(two.id);
    await endAll(second);
    await world.gone(bus, two.id);
    for (const fd of [one.fd, two.fd]) close(fd);
  });

  test("locks and unlocks by signal, and remembers what its locker says", async () => {
    const leader = await world.leader();
    const { id, path, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    await world.run(["loginctl", "lock-session", id]);
    await world.run(["loginctl", "unlock-sessions"]);
    await world.until("the signals", () => events.includes(`Unlock ${id}`));
    expect(events).toContain(`Lock ${id}`);
    await callSession(bus, path, "SetLockedHint", "b", [true]);
    await world.until("the hint", () => events.includes(`Session ${id} LockedHint=true`));
    close(fd);
    await endAll(leader);
    await world.gone(bus, id);
  });

  test("signals go to the leader, to all, or to a user", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const scope = scopeOf(ALICE.uid, id);
    const other = Bun.spawn(
      world.inside(["sh", "-c", "trap '' HUP; echo up; exec sleep 60"], { cgroup: scope }),
      {
        stdout: "pipe",
      },
    );
    await other.stdout.getReader().read();
    expect(
      (await world.run(["loginctl", "kill-session", "--kill-who=leader", "-s9", id])).code,
    ).toBe(0);
    await leader.exited;
    expect(leader.signalCode).toBe("SIGKILL");
    expect(other.exitCode).toBeNull();
    await expect(callManager(bus, "KillUser", "ui", [ALICE.uid, 99])).rejects.toThrow("signal 99");
    await expect(callManager(bus, "KillSession", "ssi", [id, "cat", 9])).rejects.toThrow("'cat'");
    await callManager(bus, "KillUser", "ui", [ALICE.uid, 15]);
    await other.exited;
    expect(other.signalCode).toBe("SIGTERM");
    await world.gone(bus, id);
    close(fd);
  });
});
