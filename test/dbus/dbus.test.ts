import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  BusError,
  busErrors,
  Connection,
  type Interface,
  membersOf,
  ObjectTree,
} from "../../lib/dbus/index.ts";
import { close, O_RDONLY, open, readSome } from "../../lib/linux/index.ts";
import { onBus, type PrivateBus, startBus } from "../support/private-bus.ts";
import { until } from "../support/until.ts";

const NAME = "com.example.Cupboard";
const PATH = "/com/example/Cupboard";

interface Cup {
  name: string;
  full: boolean;
  volume: number;
}

const { method, property, signal } = membersOf<Cup>();
const cupInterface: Interface<Cup> = {
  name: "com.example.Cup",
  members: {
    Pour: method("bs", ["full", "name"], "s", ["said"], async (cup, [full, name], call) => {
      const { uid } = await call.caller();
      cup.full = full;
      return `${name} by ${uid}`;
    }),
    Two: method("", [], "sa(uo)", ["a", "b"], (_cup): [string, [number, string][]] => [
      "x",
      [[1, "/a"]],
    ]),
    Refuse: method("", [], "", [], () => {
      throw new BusError("com.example.Broken", "it is broken");
    }),
    Crash: method("", [], "", [], () => {
      throw new TypeError("a fault of ours");
    }),
    GiveFile: method("", [], "h", ["file"], (cup) => open(join(bus.folder, cup.name), O_RDONLY)),
    TakeFile: method("h", ["file"], "s", ["text"], (_cup, [fd]) =>
      Buffer.from(readSome(fd) ?? []).toString(),
    ),
    Name: property("s", "const", (cup) => cup.name),
    Full: property("b", "true", (cup) => cup.full),
    Volume: property(
      "t",
      "invalidates",
      (cup) => BigInt(cup.volume),
      (cup, value) => {
        if (value > 1000n) throw busErrors.invalidArgs("too much");
        cup.volume = Number(value);
      },
    ),
    Who: property("(uo)", "false", (_cup): [number, string] => [1000, "/x"]),
  },
  signals: { Emptied: signal("s", ["who"]) },
};

let bus: PrivateBus;
let server: Connection;
let client: Connection;
let tree: ObjectTree;
const cups = new Map<string, Cup>();
const top: Cup = { name: "top", full: false, volume: 1 };
const faults: unknown[] = [];

beforeAll(async () => {
  bus = await startBus();
  server = await Connection.open(bus.address);
  tree = new ObjectTree(server, (_call, error) => faults.push(error));
  tree.addObject(PATH, [cupInterface], top);
  tree.addFolder(`${PATH}/cups`, {
    interfaces: [cupInterface],
    find: (name) => cups.get(name),
    names: () => [...cups.keys()],
  });
  await server.requestName(NAME);
  client = await Connection.open(bus.address);
});
afterAll(async () => {
  client.close();
  server.close();
  await bus.stop();
});
afterEach(() => {
  Object.assign(top, { full: false, volume: 1 });
  cups.clear();
  faults.length = 0;
});

const call = (member: string, signature = "", body: unknown[] = [], path = PATH) =>
  client.call({
    destination: NAME,
    path,
    interface: "com.example.Cup",
    member,
    signature,
    body,
  });
/** How many of the files that the tests pass are open; what else is, Bun opens and closes as it likes. */
const openDescriptors = () =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(bus.folder);
    } catch {
      return false; // the one that lists the folder
    }
  }).length;

describe("objects and interfaces", () => {
  test("busctl reads the interface as it was declared", async () => {
    const seen = await onBus(bus, "busctl", "introspect", NAME, PATH, "com.example.Cup");
    expect(seen.stderr).toBe("");
    const rows = seen.stdout.split("\n").map((line) => line.trim().replaceAll(/\s+/g, " "));
    expect(rows).toContain(".Pour method bs s -");
    expect(rows).toContain(".Two method - sa(uo) -");
    expect(rows).toContain('.Name property s "top" const');
    expect(rows).toContain(".Full property b false emits-change");
    expect(rows).toContain(".Volume property t 1 emits-invalidation writable");
    expect(rows).toContain('.Who property (uo) 1000 "/x" -');
    expect(rows).toContain(".Emptied signal s - -");
  });

  test("gdbus calls a method, with the caller's uid from the bus", async () => {
    const who = ["get-property", NAME, PATH, "com.example.Cup", "Who"];
    expect((await onBus(bus, "busctl", ...who)).stdout).toBe('(uo) 1000 "/x"\n');
    const options = ["--system", "-d", NAME, "-o", PATH, "-m", "com.example.Cup.Pour"];
    const seen = await onBus(bus, "gdbus", "call", ...options, "true", "tea");
    expect(seen.stdout).toBe("('tea by 0',)\n");
    expect(await call("Two")).toEqual(["x", [[1, "/a"]]]);
  });

  test("a folder's objects have escaped paths and come and go", async () => {
    cups.set("1", { name: "one", full: true, volume: 2 });
    const get = () =>
      onBus(bus, "busctl", "get-property", NAME, `${PATH}/cups/_31`, "com.example.Cup", "Name");
    expect((await get()).stdout).toBe('s "one"\n');
    const nodes = await onBus(bus, "busctl", "tree", "--list", NAME);
    expect(nodes.stdout.split("\n")).toContain(`${PATH}/cups/_31`);
    cups.clear();
    // The folder is there also while nothing is in it.
    await expect(call("Two", "", [], `${PATH}/cups`)).rejects.toMatchObject({
      errorName: "org.freedesktop.DBus.Error.UnknownMethod",
    });
    const gone = await get();
    expect(gone.code).toBe(1);
    expect(gone.stderr).toContain("Unknown object");
  });

  test("a property is set if it may be, and the handler may refuse", async () => {
    const set = (name: string, type: string, value: string) =>
      onBus(bus, "busctl", "set-property", NAME, PATH, "com.example.Cup", name, type, value);
    expect((await set("Volume", "t", "7")).code).toBe(0);
    expect((await set("Volume", "t", "5000")).stderr).toContain("too much");
    expect((await set("Volume", "s", "x")).stderr).toContain("is of type 't'");
    expect((await set("Name", "s", "x")).stderr).toContain("not writable");
    expect((await set("Nothing", "s", "x")).stderr).toContain("Unknown property");
  });

  test("errors keep their names; a fault of ours is Failed and reported", async () => {
    await expect(call("Refuse")).rejects.toMatchObject({
      errorName: "com.example.Broken",
      message: "it is broken",
    });
    await expect(call("Crash")).rejects.toMatchObject({
      errorName: "org.freedesktop.DBus.Error.Failed",
    });
    expect(faults).toHaveLength(1);
    const name = (end: string) => ({ errorName: `org.freedesktop.DBus.Error.${end}` });
    await expect(call("Missing")).rejects.toMatchObject(name("UnknownMethod"));
    await expect(call("constructor")).rejects.toMatchObject(name("UnknownMethod"));
    await expect(call("Pour", "s", ["x"])).rejects.toMatchObject(name("InvalidArgs"));
    await expect(call("Two", "", [], "/nowhere")).rejects.toMatchObject(name("UnknownObject"));
    await expect(
      client.call({ destination: NAME, path: PATH, interface: "a.b", member: "C" }),
    ).rejects.toMatchObject(name("UnknownMethod"));
    const properties = (member: string, ...body: string[]) =>
      client.call({
        ...{ destination: NAME, path: PATH, interface: "org.freedesktop.DBus.Properties" },
        ...{ member, signature: "s".repeat(body.length), body },
      });
    // As sd-bus: a property of no interface is no property.
    await expect(properties("Get", "a.b", "C")).rejects.toMatchObject(name("UnknownProperty"));
    await expect(properties("GetAll", "a.b")).rejects.toMatchObject(name("UnknownInterface"));
  });

  test("signals and PropertiesChanged follow the annotations", async () => {
    const got = Promise.withResolvers<unknown[]>();
    const changed = Promise.withResolvers<unknown[]>();
    const sender = NAME;
    await client.onSignal({ sender, interface: "com.example.Cup", member: "Emptied" }, got.resolve);
    const properties = "org.freedesktop.DBus.Properties";
    await client.onSignal(
      { sender, interface: properties, member: "PropertiesChanged" },
      changed.resolve,
    );
    const cup = { name: "top", full: true, volume: 1 };
    tree.emit(PATH, cupInterface, "Emptied", ["me"]);
    tree.emitChanged(PATH, cupInterface, cup, ["Full", "Volume", "Name", "Who"]);
    expect(await got.promise).toEqual(["me"]);
    const [name, values, invalidated] = await changed.promise;
    expect(name).toBe("com.example.Cup");
    expect(Object.keys(values as object)).toEqual(["Full"]);
    expect(invalidated).toEqual(["Volume"]);
    expect(() => tree.emit(PATH, cupInterface, "Nothing", [])).toThrow("declares no signal");
  });
});

describe("descriptors", () => {
  test("go out with a reply and are closed here", async () => {
    writeFileSync(join(bus.folder, "top"), "inside");
    const before = openDescriptors();
    const [fd] = (await call("GiveFile")) as [number];
    expect(Buffer.from(readSome(fd) ?? []).toString()).toBe("inside");
    close(fd);
    await until("they are closed", () => openDescriptors() <= before);
  });

  test("come in with a call and are closed after it, used or not", async () => {
    const file = join(bus.folder, "given");
    writeFileSync(file, "from outside");
    const before = openDescriptors();
    expect(await call("TakeFile", "h", [open(file, O_RDONLY)])).toEqual(["from outside"]);
    await expect(call("Pour", "h", [open(file, O_RDONLY)])).rejects.toThrow("expecting 'bs'");
    await expect(call("Two", "h", [open(file, O_RDONLY)], "/nowhere")).rejects.toThrow("Unknown");
    await until("they are closed", () => openDescriptors() <= before);
  });

  test("many calls with descriptors at once get each their own", async () => {
    const before = openDescriptors();
    const texts = Array.from({ length: 40 }, (_, index) => `file ${index}`);
    const replies = await Promise.all(
      texts.map((text, index) => {
        const file = join(bus.folder, `many${index}`);
        writeFileSync(file, text);
        return call("TakeFile", "h", [open(file, O_RDONLY)]);
      }),
    );
    expect(replies.flat()).toEqual(texts);
    await until("they are closed", () => openDescriptors() <= before);
  });

  test("a descriptor index out of range is refused, and nothing else", async () => {
    const bad: Error[] = [];
    server.onBadMessage = (error) => bad.push(error);
    const script = `
import socket, struct, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall(b"\\0AUTH EXTERNAL 30\\r\\n"); s.recv(200)
s.sendall(b"NEGOTIATE_UNIX_FD\\r\\n"); s.recv(200); s.sendall(b"BEGIN\\r\\n")
def field(code, sig, text):
    t = text.encode()
    head = bytes([code, 1]) + sig + b"\\0"
    return head + (struct.pack("<I", len(t)) if sig != b"g" else bytes([len(t)])) + t + b"\\0"
def call(serial, path, member, dest, iface, sig=None, body=b""):
    fields = b""
    for code, kind, text in [(1,b"o",path),(3,b"s",member),(6,b"s",dest),(2,b"s",iface)] + ([(8,b"g",sig)] if sig else []):
        fields += b"\\0" * (-len(fields) % 8) + field(code, kind, text)
    head = struct.pack("<cBBBIII", b"l", 1, 0, 1, len(body), serial, len(fields)) + fields
    s.sendall(head + b"\\0" * (-len(head) % 8) + body)
call(1, "/org/freedesktop/DBus", "Hello", "org.freedesktop.DBus", "org.freedesktop.DBus")
call(2, "${PATH}", "TakeFile", "${NAME}", "com.example.Cup", "h", struct.pack("<I", 9))
call(3, "${PATH}", "Two", "${NAME}", "com.example.Cup")
data = b""
while b"sa(uo)" not in data: data += s.recv(4096)
print("refused" if b"Error.InconsistentMessage" in data else "ignored")
print("answered")
`;
    const seen = await onBus(bus, "python3", "-c", script, join(bus.folder, "bus"));
    expect(seen.stderr).toBe("");
    expect(seen.stdout).toBe("refused\nanswered\n");
    expect(bad).toEqual([]);
  });
});

describe("the connection", () => {
  test("a name that is taken is named", async () => {
    await expect(client.requestName(NAME)).rejects.toThrow(`${NAME} is taken`);
  });

  test("a call that gets no answer ends in time", async () => {
    const silent = await Connection.open(bus.address);
    silent.onCall(() => {});
    const request = {
      destination: silent.uniqueName,
      path: "/",
      interface: "a.b",
      member: "C",
      timeout: 50,
    };
    await expect(client.call(request)).rejects.toMatchObject({
      errorName: "org.freedesktop.DBus.Error.NoReply",
    });
    silent.close();
  });

  test("a bus that refuses us is named, and nothing is thrown past us", async () => {
    const full = await startBus('<limit name="max_connections_per_user">0</limit>');
    const program = `
      import { Connection } from "${join(import.meta.dir, "../../lib/dbus/index.ts")}";
      try { await Connection.open("${full.address}"); } catch (error) { console.log(error.message); }
      await Bun.sleep(50);
    `;
    const child = await onBus(full, process.execPath, "--eval", program);
    await full.stop();
    expect(child).toMatchObject({ code: 0, stderr: "" });
    expect(child.stdout).toMatch(/^cannot connect to the message bus at unix:path=.*maximum/);
  });

  test("no bus there: the address is named", async () => {
    await expect(Connection.open("unix:path=/nowhere/bus")).rejects.toThrow(
      "cannot connect to the message bus at unix:path=/nowhere/bus: connect /nowhere/bus: no such file",
    );
  });

  test("a signal that only looks like the bus's is not believed", async () => {
    const short = await Connection.open(bus.address);
    await server.caller(short.uniqueName);
    const lost: string[] = [];
    server.onNameLost((name) => lost.push(name));
    const [path, name] = ["/org/freedesktop/DBus", "org.freedesktop.DBus"];
    const body = [short.uniqueName, short.uniqueName, ""];
    client.signal(path, name, "NameOwnerChanged", "sss", body, server.uniqueName);
    // Behind it on the same way, so it has come when this is answered.
    await call("Two");
    expect(lost).toEqual([]);
    short.close();
    await until("it is seen to leave", () => lost.includes(short.uniqueName));
  });

  test("who handles a signal and throws is named, and the next message is handled", async () => {
    const bad: string[] = [];
    server.onBadMessage = (error) => bad.push(error.message);
    const match = { sender: client.uniqueName, interface: "com.example.Cup", member: "Thrown" };
    await server.onSignal(match, () => {
      throw new Error("a fault of the handler");
    });
    client.signal(PATH, "com.example.Cup", "Thrown");
    expect(await call("Two")).toEqual(["x", [[1, "/a"]]]);
    expect(bad).toEqual(["a fault of the handler"]);
  });

  test("clients that flood it all get their answers, and another is not kept waiting", async () => {
    const others = await Promise.all(
      Array.from({ length: 20 }, () => Connection.open(bus.address)),
    );
    const request = { destination: NAME, path: PATH, interface: "com.example.Cup", member: "Two" };
    const flood = others.map((other) =>
      Promise.all(Array.from({ length: 100 }, () => other.call(request))),
    );
    const quiet = await call("Two");
    for (const answers of await Promise.all(flood)) {
      expect(answers).toEqual(Array.from({ length: 100 }, () => quiet));
    }
    for (const other of others) other.close();
  });

  test("a caller is known by the bus and forgotten when it goes", async () => {
    const short = await Connection.open(bus.address);
    const name = short.uniqueName;
    const { uid, pid } = await server.caller(name);
    expect({ uid, pid }).toEqual({ uid: 0, pid: process.pid });
    const lost = Promise.withResolvers<void>();
    server.onNameLost((lostName) => {
      if (lostName === name) lost.resolve();
    });
    short.close();
    await lost.promise;
    await expect(server.caller(name)).rejects.toThrow();
  });

  test("its end is told", async () => {
    const own = await startBus();
    const connection = await Connection.open(own.address);
    const closed = Promise.withResolvers<void>();
    connection.onClosed = closed.resolve;
    await own.stop();
    await closed.promise;
    const request = { destination: NAME, path: "/", interface: "a.b", member: "C" };
    await expect(connection.call(request)).rejects.toThrow("closed");
  });
});
