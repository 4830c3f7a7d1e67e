/** busctl beside the bridge: what it introspects, reads, calls and sees go by. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Connection } from "../../../lib/dbus/index.ts";
import { busctl, introspect, LOGIN1 } from "../support/busctl.ts";
import { createSession } from "../support/client.ts";
import { World } from "../support/world.ts";

const NOBODY = 65534;
const ROOT = "/org/freedesktop/login1";

/** What is used of a message as busctl monitor prints it. */
interface Seen {
  type: string;
  member?: string;
  cookie?: number;
  reply_cookie?: number;
  sender?: string;
  destination?: string;
}

let world: World;
let bus: Connection;
/** The objects by their kinds. */
let objects: Record<string, string>;

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  const leader = await world.leader();
  const { path } = await createSession(bus, {
    ...{ uid: NOBODY, leader: leader.pid, seat: "seat0", type: "tty", service: "login" },
  });
  objects = {
    Manager: ROOT,
    Session: path,
    User: `${ROOT}/user/_${NOBODY}`,
    Seat: `${ROOT}/seat/seat0`,
  };
});
afterAll(async () => {
  bus.close();
  await world.end();
});

test("tree finds every object from the root on", async () => {
  const tree = (await busctl(world, "tree", "--list", LOGIN1)).trim().split("\n");
  expect(tree).toEqual(expect.arrayContaining(Object.values(objects)));
});

test("each property is read alone, by all at once and by introspection as of one type", async () => {
  for (const [kind, path] of Object.entries(objects)) {
    const name = `${LOGIN1}.${kind}`;
    const members = await introspect(world, path);
    const properties = [...members].flatMap(([member, signature]) => {
      const property = member.startsWith(`property ${kind}.`) && member.split(".")[1];
      return property ? [{ property, signature }] : [];
    });
    expect(properties.length).toBeGreaterThan(5);
    const names = properties.map(({ property }) => property);
    const read = await busctl(world, "get-property", LOGIN1, path, name, ...names);
    const types = read
      .trimEnd()
      .split("\n")
      .map((line) => line.split(" ")[0]);
    expect({ kind, types }).toEqual({ kind, types: properties.map(({ signature }) => signature) });
    const all = JSON.parse(
      await busctl(
        world,
        ...["--json=short", "call", LOGIN1, path, "org.freedesktop.DBus.Properties"],
        ...["GetAll", "s", name],
      ),
    ) as { data: [Record<string, { type: string }>] };
    const together = Object.entries(all.data[0]).map(([property, { type }]) => [property, type]);
    expect(together.sort()).toEqual(
      properties.map(({ property, signature }) => [property, signature]).sort(),
    );
  }
});

test("set-property changes what may be changed, and nothing else", async () => {
  const words = [LOGIN1, ROOT, `${LOGIN1}.Manager`];
  await busctl(world, "set-property", ...words, "EnableWallMessages", "b", "true");
  expect(await busctl(world, "get-property", ...words, "EnableWallMessages")).toBe("b true\n");
  await busctl(world, "set-property", ...words, "EnableWallMessages", "b", "false");
  const refused = await world.run(["busctl", "set-property", ...words, "NAutoVTs", "u", "1"]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("NAutoVTs");
});

test("a call that is wrong in name, arguments or object is refused by the name of what is wrong", async () => {
  for (const [words, text] of [
    [[ROOT, `${LOGIN1}.Manager`, "NoSuch"], "NoSuch"],
    [[ROOT, `${LOGIN1}.NoSuch`, "ListSessions"], "NoSuch"],
    [[`${ROOT}/session/nope`, `${LOGIN1}.Session`, "Lock"], "nope"],
    [[ROOT, `${LOGIN1}.Manager`, "GetSession", "s", "nope"], "No session 'nope' known"],
  ] as const) {
    const { code, stderr } = await world.run(["busctl", "call", LOGIN1, ...words]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(text) });
  }
});

test("monitor sees a call, its answer, and the signal that comes of it", async () => {
  const monitor = Bun.spawn(world.inside(["busctl", "monitor", "--json=short", LOGIN1]), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  let text = "";
  const heard = (async () => {
    for await (const chunk of monitor.stdout) text += Buffer.from(chunk).toString();
  })();
  // Of the versions some say that they have begun.
  await world.until("the monitor", async () => {
    await busctl(world, "call", LOGIN1, ROOT, "org.freedesktop.DBus.Peer", "Ping");
    return text.includes('"Ping"');
  });
  const path = String(objects.Session);
  await busctl(world, "call", LOGIN1, path, `${LOGIN1}.Session`, "Lock");
  const seen = await world.until("call, signal and answer", () => {
    const lines = text.split("\n").slice(0, -1);
    const messages = lines.map((line) => JSON.parse(line) as Seen);
    const call = messages.find(({ type, member }) => type === "method_call" && member === "Lock");
    // The bridge itself asks the bus who calls, and gets an answer to that.
    const isAnswer = ({ type, reply_cookie, destination }: Seen) =>
      type === "method_return" && reply_cookie === call?.cookie && destination === call?.sender;
    return messages.some(isAnswer) && messages;
  });
  expect(seen.filter(({ member }) => member === "Lock")).toEqual([
    expect.objectContaining({ type: "method_call", path, interface: `${LOGIN1}.Session` }),
    expect.objectContaining({ type: "signal", path, interface: `${LOGIN1}.Session` }),
  ]);
  monitor.kill();
  await monitor.exited;
  await heard;
});
