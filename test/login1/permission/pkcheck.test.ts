/** pkcheck and polkitd by login1's sessions: who is there, in the background, elsewhere, or nowhere. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Connection } from "../../../lib/dbus/index.ts";
import { type CreateOptions, createSession } from "../support/client.ts";
import { startPolkitd } from "../support/polkitd.ts";
import { World } from "../support/world.ts";

// Accounts that every Debian and Arch system has. polkit takes a user's sessions together, so that
// each kind of session is another's.
const [ONE, TWO, REMOTE, SEATLESS, NOWHERE] = [65534, 1, 2, 8, 33];

let world: World;
let bus: Connection;
beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  await startPolkitd(world, bus);
});
afterAll(async () => {
  bus.close();
  await world.end();
});

/**
 * What pkcheck ends with for a process: 0 for yes, 1 for no, 2 where somebody had to give a
 * password. Of the two actions of login1's policy the first has another answer for whom is active,
 * and the second for whoever is local.
 */
async function check(pid: number): Promise<[number, number]> {
  const ask = async (action: string) => {
    const id = `org.freedesktop.login1.${action}`;
    return (await world.run(["pkcheck", "--action-id", id, "--process", String(pid)])).code;
  };
  return [await ask("suspend"), await ask("inhibit-handle-lid-switch")];
}
const ACTIVE: [number, number] = [0, 0];
const INACTIVE: [number, number] = [2, 0];
const ANY: [number, number] = [2, 1];

/** A session whose leader is a process of its user. */
async function login(uid: number, options: Partial<CreateOptions>) {
  const leader = await world.leader({ user: uid });
  const made = await createSession(bus, { uid, leader: leader.pid, ...options });
  return { ...made, pid: leader.pid };
}
const activate = async (id: string) =>
  expect(await world.run(["loginctl", "activate", id])).toMatchObject({ code: 0, stderr: "" });

test("allow_active, allow_inactive and allow_any are for those whom login1 says so of", async () => {
  const first = await login(ONE, { seat: "seat0" });
  const second = await login(TWO, { seat: "seat0" });
  // No seat, although its environment had one.
  const far = { remote: true, remoteHost: "lain.example", seat: "seat0" };
  const remote = await login(REMOTE, { ...far, type: "tty" });
  const seatless = await login(SEATLESS, { type: "tty", tty: "pts/9" });
  const outside = await world.leader({ user: NOWHERE });
  await activate(first.id);
  expect(await check(first.pid)).toEqual(ACTIVE);
  expect(await check(second.pid)).toEqual(INACTIVE);
  await activate(second.id);
  expect(await check(first.pid)).toEqual(INACTIVE);
  expect(await check(second.pid)).toEqual(ACTIVE);
  expect(await check(remote.pid)).toEqual(ANY);
  expect(await check(seatless.pid)).toEqual(ANY);
  expect(await check(outside.pid)).toEqual(ANY);
});
