/** Asks a login1 server, live and in a world of its own, which members its objects have. */
import { join } from "node:path";
import { BusError, type Connection } from "../../lib/dbus/index.ts";
import { close } from "../../lib/linux/index.ts";
import { ROOT } from "../../scripts/build.ts";
import { createSession, hasOwner } from "../../test/login1/support/client.ts";
import { World } from "../../test/login1/support/world.ts";
import type { InterfaceName, Member } from "../../testbed/members/contract.ts";
import { membersIn } from "../../testbed/members/introspection.ts";
import { elogindServer, layOverEtc, type Peer, type Server } from "../peer.ts";

/** `nobody`, who is on every system. */
const UID = 65534;

const NAME = "org.freedesktop.login1";
const MANAGER = "/org/freedesktop/login1";

/** Our bridge, from the sources. */
const BRIDGE: Server = {
  name: "lainos-dbus-bridge",
  command: [process.execPath, join(ROOT, "cmd/dbus-bridge.ts")],
  environment: {},
};

/**
 * The members that our bridge has, those of `hidden` too that it answers Get for.
 *
 * @throws {Error} with what it said, if it does not start
 */
export const membersOfBridge = (hidden: readonly Member[]) => ask(BRIDGE, hidden);

/** The same of elogind. */
export const membersOfElogind = (peer: Peer, hidden: readonly Member[]) =>
  ask(elogindServer(peer), hidden);

async function ask(server: Server, hidden: readonly Member[]): Promise<Member[]> {
  // Pids of its own: elogind takes the cgroup of process 1 for the top of the tree.
  const world = await World.create({ bridge: [], ownPids: true });
  try {
    if (server.etc !== undefined) await layOverEtc(world, server.etc);
    const environment = Object.entries(server.environment).map(([key, value]) => `${key}=${value}`);
    const child = Bun.spawn(
      world.inside([
        ...["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", ...environment],
        ...server.command,
      ]),
      { stdin: "ignore", stdout: "ignore", stderr: "pipe" },
    );
    const words = new Response(child.stderr).text();
    const bus = await world.connect();
    try {
      await world.until(`${server.name} is on the bus`, async () => {
        if (child.exitCode !== null) throw new Error(`${server.name} ended: ${await words}`);
        return hasOwner(bus, NAME);
      });
      return await askObjects(world, bus, hidden);
    } finally {
      bus.close();
    }
  } finally {
    await world.end();
  }
}

async function askObjects(
  world: World,
  bus: Connection,
  hidden: readonly Member[],
): Promise<Member[]> {
  // As the server sees it, the leader has another pid than for us: it says it itself.
  const leader = Bun.spawn(world.inside(["sh", "-c", "echo $$; exec sleep infinity"]), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await leader.stdout.getReader().read();
  const pid = Number(Buffer.from(value ?? []).toString());
  const session = await createSession(bus, { uid: UID, leader: pid });
  try {
    const objects: [InterfaceName, string][] = [
      ["Manager", MANAGER],
      ["Session", session.path],
      ["User", await object(bus, "GetUser", "u", UID)],
      ["Seat", await object(bus, "GetSeat", "s", "seat0")],
    ];
    const members: Member[] = [];
    for (const [name, path] of objects) {
      const [document] = await bus.call({
        destination: NAME,
        path,
        interface: "org.freedesktop.DBus.Introspectable",
        member: "Introspect",
        signature: "",
        body: [],
      });
      members.push(...membersIn(String(document)).filter((found) => found.interface === name));
      for (const member of hidden) {
        const type = member.interface === name && (await typeOf(bus, path, member));
        if (type) members.push({ ...member, in: type });
      }
    }
    return members;
  } finally {
    close(session.fd);
  }
}

async function object(bus: Connection, member: string, signature: string, of: unknown) {
  const [path] = await bus.call({
    destination: NAME,
    path: MANAGER,
    interface: `${NAME}.Manager`,
    member,
    signature,
    body: [of],
  });
  return String(path);
}

/** The type of a property's value; undefined if there is no such property. */
async function typeOf(bus: Connection, path: string, member: Member): Promise<string | undefined> {
  try {
    const [value] = await bus.call({
      destination: NAME,
      path,
      interface: "org.freedesktop.DBus.Properties",
      member: "Get",
      signature: "ss",
      body: [`${NAME}.${member.interface}`, member.name],
    });
    return (value as { signature: string }).signature;
  } catch (error) {
    if (error instanceof BusError && error.errorName.endsWith(".UnknownProperty")) return undefined;
    throw error;
  }
}
