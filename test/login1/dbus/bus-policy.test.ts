/** What dbus-daemon passes on by the policy that the package ships. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { type Created, createSession } from "../support/client.ts";
import { compile } from "../support/probe.ts";
import { World } from "../support/world.ts";

const USER = 65534;
const LOGIN1 = "org.freedesktop.login1";
const MANAGER = ["/org/freedesktop/login1", `${LOGIN1}.Manager`];
/** The bus's own words. */
const REFUSED = /^org\.freedesktop\.DBus\.Error\.AccessDenied: Rejected send message/;

describe("dbus-daemon", () => {
  let world: World;
  let bus: Connection;
  let folder: string;
  let program: string;
  let session: Created;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "p7-policy-"));
    program = await compile(
      join(import.meta.dir, "../support/with-descriptors.c"),
      "-lsystemd",
      folder,
    );
    await Bun.$`chmod 755 ${folder}`;
    world = await World.create();
    bus = await world.connect();
    session = await createSession(bus, { uid: USER, leader: (await world.leader()).pid });
  });
  afterAll(async () => {
    if (session) close(session.fd);
    bus?.close();
    await world?.end();
    rmSync(folder, { recursive: true, force: true });
  });

  const calls = async (user: number | undefined, ...words: [...string[], number]) =>
    (await world.run([program, ...words.map(String)], user === undefined ? {} : { user })).stdout;

  test("passes on a user's calls without descriptors, and none with", async () => {
    expect(await calls(USER, LOGIN1, ...MANAGER, "ListSessions", 0)).toStartWith("answered");
    for (const member of ["ListSessions", "CreateSessionWithPIDFD", "Inhibit", "NoSuchThing"]) {
      for (const count of [1, 2]) {
        expect(await calls(USER, LOGIN1, ...MANAGER, member, count)).toMatch(REFUSED);
      }
    }
    const name = await world.run(["busctl", "status", LOGIN1]);
    const unique = /^UniqueName=(.*)$/m.exec(name.stdout)?.[1] ?? "";
    expect(await calls(USER, unique, ...MANAGER, "ListSessions", 0)).toStartWith("answered");
    expect(await calls(USER, unique, ...MANAGER, "ListSessions", 1)).toMatch(REFUSED);
    const units = ["/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
    const systemd1 = ["org.freedesktop.systemd1", ...units, "GetUnitProcesses"];
    expect(await calls(USER, ...systemd1, 1)).toMatch(REFUSED);
    expect(await calls(USER, ...systemd1, 0)).not.toMatch(REFUSED);
  });

  test("passes one on to SetTTY, and no more", async () => {
    const path = [session.path, `${LOGIN1}.Session`];
    expect(await calls(USER, LOGIN1, ...path, "SetTTY", 1)).toStartWith(`${LOGIN1}.NotInControl`);
    expect(await calls(USER, LOGIN1, ...path, "SetTTY", 2)).toMatch(REFUSED);
    expect(await calls(USER, LOGIN1, ...path, "SetIdleHint", 1)).toMatch(REFUSED);
    // Without an object either: the bus does not know which there are.
    expect(await calls(USER, LOGIN1, ...MANAGER, "SetTTY", 1)).toMatch(REFUSED);
  });

  test("passes on what root sends", async () => {
    const said = await calls(undefined, LOGIN1, ...MANAGER, "CreateSessionWithPIDFD", 1);
    expect(said).not.toMatch(REFUSED);
  });
});
