/** What CreateSession refuses, and what it takes as it is. */
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
afterEach(() => world.reset(bus));

describe("bad input", () => {
  const refused = async (name: string, options: Parameters<typeof createSession>[1]) => {
    const before = readdirSync(`${world.root}/run/systemd/sessions`);
    await expect(createSession(bus, options)).rejects.toMatchObject({ errorName: name });
    expect(readdirSync(`${world.root}/run/systemd/sessions`)).toEqual(before);
  };
  const INVALID = "org.freedesktop.DBus.Error.InvalidArgs";

  test("CreateSession refuses what makes no sense, and nothing is left of it", async () => {
    const leader = await world.leader();
    const fine = { uid: ALICE.uid, leader: leader.pid };
    await refused(INVALID, { ...fine, type: "hologram" });
    await refused(INVALID, { ...fine, class: "emperor" });
    await refused(INVALID, { ...fine, class: "none" });
    await refused(INVALID, { ...fine, leader: 1 });
    await refused(INVALID, { ...fine, leader: 4194300 });
    await refused(INVALID, { ...fine, uid: 4000000 });
    await refused(INVALID, { ...fine, seat: "seat0", vtnr: 3 });
    await refused(INVALID, { ...fine, tty: "../../etc/passwd" });
    await refused(INVALID, { ...fine, service: "a\nUID=0" });
    for (const desktop of ["it's", '"sway"', "a\\b"]) await refused(INVALID, { ...fine, desktop });
    await refused(INVALID, { ...fine, desktop: "it's", seat: "seat7" });
    await refused("org.freedesktop.login1.NoSuchSeat", { ...fine, seat: "seat7" });
    expect(existsSync(`${world.root}/run/user/${ALICE.uid}`)).toBe(false);
    const busy = await createSession(bus, fine);
    await refused("org.freedesktop.login1.SessionBusy", fine);
    await refused("org.freedesktop.login1.SessionBusy", { ...fine, uid: 4000000 });
    close(busy.fd);
    await endAll(leader);
    await world.gone(bus, busy.id);
  });

  test("something in the place of the runtime directory is named, and nothing is half made", async () => {
    const path = `${world.root}/run/user/${BOB.uid}`;
    await world.userGone(BOB.uid);
    writeFileSync(path, "in the way");
    const leader = await world.leader();
    await expect(createSession(bus, { uid: BOB.uid, leader: leader.pid })).rejects.toThrow(
      `/run/user/${BOB.uid} is not a directory`,
    );
    expect(readFileSync(path, "utf8")).toBe("in the way");
    await world.run(["rm", `/run/user/${BOB.uid}`]);
    expect(await sessionIds(bus)).toEqual([]);
    await endAll(leader);
  });

  test("values that a shell would split come through the state file whole", async () => {
    const leader = await world.leader();
    const service = 'my "own" $SERVICE `x` \\ end';
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid, service });
    expect(world.stateOf("sessions", id).SERVICE).toBe(service);
    const shown = await world.run(["loginctl", "show-session", id, "-pService", "--value"]);
    expect(shown.stdout).toBe(`${service}\n`);
    close(fd);
    await endAll(leader);
    await world.gone(bus, id);
  });
});
