/** What logind looks at before it asks whether the caller may: such a call gets the same error from everybody. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Connection } from "../../../lib/dbus/index.ts";
import { createSession, MANAGER } from "../support/client.ts";
import { World } from "../support/world.ts";

const ALICE = 65534;
/** Somebody without any right, and root. */
const CALLERS = [{ user: 1 }, {}];

let world: World;
let bus: Connection;
let session: string;
beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  const leader = await world.leader();
  const request = { uid: ALICE, leader: leader.pid, type: "wayland", seat: "seat0" };
  session = (await createSession(bus, request)).path;
});
afterAll(async () => {
  bus.close();
  await world.end();
});

const INVALID = "org.freedesktop.DBus.Error.InvalidArgs";
const NOT_SUPPORTED = "org.freedesktop.DBus.Error.NotSupported";
const NO_SESSION = "org.freedesktop.login1.NoSessionForPID";
const SEAT = `${MANAGER}/seat/seat0`;
const id = () => session.split("/").at(-1);

test.each([
  [() => MANAGER, () => `Manager.KillSession string:${id()} string:all int32:0`, INVALID],
  [() => MANAGER, () => `Manager.KillSession string:${id()} string:some int32:15`, INVALID],
  [() => MANAGER, () => "Manager.KillSession string: string:all int32:0", NO_SESSION],
  [() => session, () => "Session.Kill string:all int32:65", INVALID],
  [() => session, () => "Session.Kill string:some int32:15", INVALID],
  [() => session, () => "Session.SetBrightness string:lamps string:x uint32:1", NOT_SUPPORTED],
  [() => session, () => "Session.SetBrightness string:leds string:../x uint32:1", INVALID],
  [() => SEAT, () => "Seat.SwitchTo uint32:0", INVALID],
  [() => MANAGER, () => "Manager.AttachDevice string:none string:/sys/x boolean:false", INVALID],
  [() => MANAGER, () => "Manager.AttachDevice string:seat1 string:/tmp boolean:false", INVALID],
  [() => MANAGER, () => "Manager.AttachDevice string: string:/tmp boolean:false", INVALID],
  [() => MANAGER, () => "Manager.AttachDevice string: string:/sys/x boolean:false", NO_SESSION],
])("call %#", async (path, call, error) => {
  for (const caller of CALLERS) {
    const [member = "", ...words] = call().split(" ");
    const destination = ["--system", "--print-reply", "--dest=org.freedesktop.login1"];
    const { stderr } = await world.run(
      ["dbus-send", ...destination, path(), `org.freedesktop.login1.${member}`, ...words],
      caller,
    );
    expect(/^Error ([\w.]+)/.exec(stderr)?.[1], call()).toBe(error);
  }
});
