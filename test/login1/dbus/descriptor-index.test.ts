/** Calls whose body names a descriptor that did not come: each is answered at once, and keeps none that did. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { type Connection, Variant } from "../../../lib/dbus/index.ts";
import { hasCode, O_RDONLY, open } from "../../../lib/linux/index.ts";
import { RawBus, type RawCall } from "../../support/raw-bus.ts";
import { until } from "../../support/until.ts";
import { createSession, MANAGER } from "../support/client.ts";
import { World } from "../support/world.ts";

let world: World;
let bus: Connection;
let raw: RawBus;
/** The path of a session's object. */
let session: string;
/** The file whose descriptors do come. */
let given: string;
beforeAll(async () => {
  world = await World.create();
  given = `${world.root}/run/given`;
  writeFileSync(given, "");
  bus = await world.connect();
  const leader = await world.leader();
  session = (await createSession(bus, { uid: 65534, leader: leader.pid })).path;
  raw = await RawBus.open(`${world.root}/run/dbus/system_bus_socket`);
});
afterAll(async () => {
  raw.close();
  bus.close();
  await world.end();
});

const call = (kind: string, member: string, signature: string, body: unknown[]): RawCall => ({
  destination: "org.freedesktop.login1",
  path: MANAGER,
  interface: `org.freedesktop.${kind}`,
  ...{ member, signature, body },
});
const at = (path: string, given: RawCall): RawCall => ({ ...given, path });

const LOGIN = ["test", "tty", "user", "", "", 0, "", "", false, "", ""];
/** The properties of CreateSession, each a variant. */
const creation = (index: number, ...properties: [string, Variant<unknown>][]) =>
  call("login1.Manager", "CreateSessionWithPIDFD", "uisssssussbssta(sv)", [
    ...[0, index, ...LOGIN, 0n, properties],
  ]);
const setting = (name: string, value: Variant<unknown>) =>
  call("DBus.Properties", "Set", "ssv", ["org.freedesktop.login1.Manager", name, value]);
/** A descriptor that does come. */
const real = () => new Variant("h", open(given, O_RDONLY));

const INCONSISTENT = "org.freedesktop.DBus.Error.InconsistentMessage";
/** What is called, with `i` for an index without a descriptor, and how the kind of error ends. */
const KINDS: [string, () => RawCall, string][] = [
  ["an argument", () => at(session, call("login1.Session", "SetTTY", "i", [0])), INCONSISTENT],
  ["the largest index", () => creation(-1), INCONSISTENT],
  ["a variant", () => setting("EnableWallMessages", new Variant("i", 4)), INCONSISTENT],
  ["a variant's array", () => setting("WallMessage", new Variant("ai", [4])), INCONSISTENT],
  [
    "variants in variants",
    () => setting("WallMessage", new Variant("v", new Variant("(si)", ["", 1]))),
    INCONSISTENT,
  ],
  [
    "a dictionary",
    () => setting("WallMessage", new Variant("a{sv}", { a: new Variant("i", 1) })),
    INCONSISTENT,
  ],
  ["an array of pairs", () => creation(0, ["TTYPath", new Variant("i", 3)]), INCONSISTENT],
  ["one beside one that came", () => creation(1, ["TTYPath", real()]), INCONSISTENT],
  [
    "an object that is looked up by its caller",
    () => at(`${MANAGER}/session/self`, setting("Id", new Variant("i", 0))),
    "org.freedesktop.DBus.Error.UnknownObject",
  ],
  [
    "an object that is not there",
    () => at(`${MANAGER}/session/none`, call("login1.Session", "SetTTY", "i", [0])),
    "org.freedesktop.DBus.Error.UnknownObject",
  ],
  [
    "a method that takes none",
    () => call("login1.Manager", "GetSession", "i", [2]),
    "org.freedesktop.DBus.Error.InvalidArgs",
  ],
  [
    "a method that is none",
    () => call("login1.Manager", "Nothing", "ai", [[2]]),
    "org.freedesktop.DBus.Error.UnknownMethod",
  ],
  ["Ping", () => call("DBus.Peer", "Ping", "i", [0]), "org.freedesktop.DBus.Error.InvalidArgs"],
  [
    "Introspect",
    () => call("DBus.Introspectable", "Introspect", "i", [0]),
    "org.freedesktop.DBus.Error.InvalidArgs",
  ],
];

const NO_REPLY_EXPECTED = 1;

/** How many descriptors of that file the bridge has. */
const held = () =>
  readdirSync(`/proc/${world.bridgePid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${world.bridgePid}/fd/${fd}`).endsWith("/run/given");
    } catch (error) {
      // It was closed since it was listed.
      if (hasCode(error, "ENOENT")) return false;
      throw error;
    }
  }).length;

describe("a descriptor that did not come", () => {
  test.each(KINDS)("in %s is answered by an error", async (_where, make, error) => {
    const answer = await raw.call(make());
    expect(answer.error).toBe(error);
    expect(answer.text).not.toBe("");
  });

  test("is named by its index in the answer", async () => {
    const answer = await raw.call(setting("WallMessage", new Variant("i", 7)));
    expect(answer.text).toBe("Bad message to call Set(): a message names descriptor 7 and has 0");
  });

  test("gets no answer where none is expected, and the next call gets its own", async () => {
    const unanswered = KINDS.map(([, make]) => raw.send({ ...make(), flags: NO_REPLY_EXPECTED }));
    const [, make, error] = KINDS[0] as (typeof KINDS)[0];
    const serial = raw.send(make());
    expect((await raw.answer(serial)).error).toBe(error);
    expect(raw.passedOver.filter((answered) => unanswered.includes(answered))).toEqual([]);
  });

  test("leaves nothing open of those that came", async () => {
    for (let count = 0; count < 50; count++) {
      raw.send({ ...creation(1, ["TTYPath", real()]), flags: NO_REPLY_EXPECTED });
      expect((await raw.call(creation(1, ["TTYPath", real()]))).error).toBe(INCONSISTENT);
    }
    await until("all that came is closed", held, (count) => count === 0);
  });
});
