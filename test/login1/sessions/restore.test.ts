/** A bridge that starts where there were sessions. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { ALICE, BOB } from "../support/accounts.ts";
import { createSession, sessionIds } from "../support/client.ts";
import { endAll, World } from "../support/world.ts";

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
/** What is in the folders of sessions, users and inhibitors. */
const listed = () =>
  ["sessions", "users", "inhibit"].flatMap((folder) =>
    readdirSync(`${world.root}/run/systemd/${folder}`)
      .map((name) => `${folder}/${name}`)
      .sort(),
  );

afterEach(() => world.reset(bus));

describe("a restart", () => {
  test("after kill -9 every session is there again, and those that ended meanwhile are not", async () => {
    const kept = await world.leader();
    const byFifo = await world.leader();
    const dies = await world.leader();
    const one = await createSession(bus, { uid: ALICE.uid, leader: kept.pid, seat: "seat0" });
    const two = await createSession(bus, { uid: BOB.uid, leader: byFifo.pid });
    const three = await createSession(bus, { uid: BOB.uid, leader: dies.pid });
    const stays = await world.leader();
    const closed = await createSession(bus, { uid: BOB.uid, leader: stays.pid });
    const before = world.stateOf("sessions", one.id);
    expect(await world.endBridge("SIGKILL")).toBe("SIGKILL");
    await endAll(dies);
    close(closed.fd);
    const length = world.log.length;
    await world.startBridge();
    // It is known before anybody can ask.
    const log = world.log.slice(length);
    const ends = log.indexOf(`session ${closed.id} of ${BOB.name} ends: its descriptor was closed`);
    expect(ends).toBeGreaterThan(-1);
    expect(ends).toBeLessThan(log.indexOf("3 sessions found from before"));
    expect(world.stateOf("sessions", closed.id).STATE).toBe("closing");
    await endAll(stays);
    await world.gone(bus, closed.id);
    expect((await sessionIds(bus)).sort()).toEqual([one.id, two.id].sort());
    expect(world.stateOf("sessions", one.id)).toEqual(before);
    expect(world.stateOf("seats", "seat0").ACTIVE).toBe(one.id);
    // The fifo still counts, and so does the leader.
    close(two.fd);
    await world.until(
      "the fifo's end",
      () => world.stateOf("sessions", two.id).STATE === "closing",
    );
    await endAll(byFifo);
    await world.gone(bus, two.id);
    await world.userGone(BOB.uid);
    await endAll(kept);
    await world.gone(bus, one.id);
    await world.userGone(ALICE.uid);
    const next = await world.leader();
    const four = await createSession(bus, { uid: ALICE.uid, leader: next.pid });
    expect([one.id, two.id, three.id]).not.toContain(four.id);
    for (const fd of [one.fd, three.fd, four.fd]) close(fd);
    await endAll(next);
    await world.gone(bus, four.id);
  });

  test("a leader is known by its pidfd's inode, or when it started; a later process of its number is none", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const file = `${world.root}/run/systemd/sessions/${id}`;
    await world.endBridge("SIGKILL");
    const text = readFileSync(file, "utf8");
    const inode = /^LEADER_PIDFDID=\d+$/m.test(text);
    expect(/^LEADER_START=\d+$/m.test(text)).toBe(!inode);
    // What says more counts.
    if (inode) writeFileSync(file, `${text}LEADER_START=1\n`);
    await world.startBridge();
    expect(await sessionIds(bus)).toEqual([id]);
    await world.endBridge("SIGKILL");
    writeFileSync(file, text.replace(/^(LEADER_(?:PIDFDID|START))=\d+$/m, "$1=1"));
    await world.startBridge();
    expect(world.stateOf("sessions", id).STATE).toBe("closing");
    await endAll(leader);
    await world.gone(bus, id);
    close(fd);
  });

  test("SIGTERM gives the name back and leaves the sessions", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    expect(await world.endBridge("SIGTERM")).toBe(0);
    expect(existsSync(`${world.root}/run/systemd/sessions/${id}`)).toBe(true);
    await world.startBridge();
    expect(await sessionIds(bus)).toEqual([id]);
    await endAll(leader);
    await world.gone(bus, id);
    close(fd);
  });

  test("what is no state file is named and goes, since libsystemd would go on listing it", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    await world.endBridge("SIGTERM");
    const damage = `cd /run/systemd
      echo LEADER=1 >sessions/bad; cp sessions/${id} sessions/no-session; mkdir sessions/c77; touch sessions/c77/x
      ln -s /etc/passwd sessions/c78; echo UID=0 >sessions/c79; chown 1 sessions/c79; mkfifo sessions/c80 sessions/c80.ref
      head -c 2000000 /dev/zero >sessions/c81
      cp users/${ALICE.uid} users/somebody; cp users/${ALICE.uid} users/0${ALICE.uid}; mkdir users/1
      echo NAME=ghost >users/4000000; ln -s /etc/passwd users/2; echo >users/4294967295
      mkdir -p inhibit/7 inhibit/some; echo WHAT=nothing >inhibit/8; echo >inhibit/08; ln -s /etc/passwd inhibit/9`;
    expect(await world.run(["sh", "-euc", damage])).toMatchObject({ code: 0, stderr: "" });
    const before = listed();
    const length = world.log.length;
    await world.startBridge();
    expect(listed()).toEqual([`sessions/${id}`, `sessions/${id}.ref`, `users/${ALICE.uid}`]);
    const log = world.log.slice(length);
    for (const path of before.filter((one) => !one.endsWith(".ref") && !listed().includes(one))) {
      expect(log).toContain(`/run/systemd/${path} `);
    }
    expect(await sessionIds(bus)).toEqual([id]);
    expect(existsSync("/etc/passwd")).toBe(true);
    await endAll(leader);
    await world.gone(bus, id);
    close(fd);
  });
});
