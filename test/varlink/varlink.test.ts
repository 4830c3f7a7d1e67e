import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  close,
  connectStream,
  createPlaceholder,
  listenStream,
  ReceiveBuffer,
  receive,
  refuseDescriptors,
  send,
  socketPair,
} from "../../lib/linux/index.ts";
import {
  type AfterReply,
  Parameters,
  type Peer,
  Replies,
  type ServerOptions,
  Service,
  VarlinkError,
  VarlinkServer,
} from "../../lib/varlink/index.ts";
import { LONGEST_MESSAGE } from "../../lib/varlink/message.ts";
import { Random } from "../login1/support/random-source.ts";
import { until } from "../support/until.ts";
import { Client } from "./client.ts";

const INFO = { vendor: "us", product: "test", version: "1", url: "https://example.org" };

const DESCRIPTION = `interface org.example.test
method Echo(text: ?string, count: ?int) -> (text: string)
`;

/** Not one below /root, which an ordinary user cannot run. */
const PYTHON = "/usr/bin/python3";

let folder: string;
let path: string;
const heard: string[] = [];
const failures: string[] = [];
const reasons: string[] = [];
const servers: VarlinkServer[] = [];
const clients: Client[] = [];
let waiting = Promise.withResolvers<void>();
/** What After does after its answer. */
let afterAnswer = () => {};

const example = {
  name: "org.example.test",
  description: DESCRIPTION,
  methods: {
    Echo(given: object) {
      const parameters = new Parameters({ ...given }, ["text", "count"]);
      const text = parameters.string("text") ?? "nothing";
      const count = parameters.integer("count", 0, 100_000) ?? 1;
      heard.push(text);
      return { text: text.repeat(count) };
    },
    async Wait() {
      await waiting.promise;
      return {};
    },
    Who: (_given: object, peer: { uid: number; pid: number | undefined }) => ({
      uid: peer.uid,
      pid: peer.pid,
    }),
    async After(given: object, _peer: Peer, afterReply: AfterReply) {
      const parameters = new Parameters({ ...given }, ["size", "wait"]);
      afterReply(() => afterAnswer());
      if (parameters.boolean("wait")) await waiting.promise;
      return { text: "x".repeat(parameters.integer("size", 0, 2 ** 24) ?? 0) };
    },
    Refuse(): never {
      throw new VarlinkError("org.example.test.No", { why: "so" });
    },
    Break(): never {
      throw Object.assign(new Error("the disk is full"), { code: "ENOSPC" });
    },
    Fault: () => (undefined as unknown as { x: Record<string, unknown> }).x,
    Count(given: object) {
      const parameters = new Parameters({ ...given }, ["to", "size"]);
      const to = parameters.integer("to", 0, 1_000_000) ?? 0;
      return new Replies(count(to, parameters.integer("size", 0, 2 ** 20) ?? 0));
    },
    Only: (given: object) => {
      new Parameters({ ...given }, []);
      return new Replies(count(1, 0));
    },
  },
  needMore: ["Only"],
};

/** How many replies of Count were made so far. */
let made = 0;

function* count(to: number, size: number): Generator<{ at: number; text?: string }, void> {
  for (let at = 1; at <= to; at++) {
    made = at;
    yield { at, ...(size > 0 && { text: "x".repeat(size) }) };
  }
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "p7-varlink-"));
  path = join(folder, "socket");
  waiting = Promise.withResolvers<void>();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  for (const server of servers.splice(0)) server.stop();
  rmSync(folder, { recursive: true });
  for (const list of [heard, failures, reasons]) list.length = 0;
});

function serve(options: ServerOptions = {}): VarlinkServer {
  const service = new Service(INFO, [example], ({ method }, error) => {
    failures.push(`${method}: ${error instanceof Error ? error.message : error}`);
  });
  const server = new VarlinkServer(path, service, {
    onDebug: (reason) => reasons.push(reason),
    ...options,
  });
  servers.push(server);
  return server;
}

async function connect(): Promise<Client> {
  const client = await Client.connect(path);
  clients.push(client);
  return client;
}

const echo = (text: string, more: object = {}) =>
  `${JSON.stringify({ method: "org.example.test.Echo", parameters: { text }, ...more })}\0`;

describe("calls", () => {
  test("the service says what it is and what its interfaces are", async () => {
    serve();
    const client = await connect();
    expect(await client.call("org.varlink.service.GetInfo")).toEqual({
      parameters: { ...INFO, interfaces: ["org.example.test", "org.varlink.service"] },
    });
    const about = (name: string) =>
      client.call("org.varlink.service.GetInterfaceDescription", { interface: name });
    expect(await about("org.example.test")).toEqual({ parameters: { description: DESCRIPTION } });
    const own = (await about("org.varlink.service"))?.parameters?.description;
    expect(own).toContain("method GetInfo() ->");
    expect(await about("org.example.other")).toEqual({
      error: "org.varlink.service.InterfaceNotFound",
      parameters: { interface: "org.example.other" },
    });
  });

  test.each([
    ["org.example.other.Echo", "InterfaceNotFound", { interface: "org.example.other" }],
    ["Echo", "InterfaceNotFound", { interface: "" }],
    ["org.example.test.Nothing", "MethodNotFound", { method: "org.example.test.Nothing" }],
    ["org.example.test.toString", "MethodNotFound", { method: "org.example.test.toString" }],
    ["org.example.test.__proto__", "MethodNotFound", { method: "org.example.test.__proto__" }],
  ])("%s is %s", async (method, name, parameters) => {
    serve();
    const client = await connect();
    expect(await client.call(method)).toEqual({ error: `org.varlink.service.${name}`, parameters });
    expect(await client.call("org.example.test.Echo")).toEqual({ parameters: { text: "nothing" } });
  });

  test.each([
    [{ text: 5 }, "text"],
    [{ text: ["a"] }, "text"],
    [{ count: "five" }, "count"],
    [{ count: 1.5 }, "count"],
    [{ count: -1 }, "count"],
    [{ other: 1 }, "other"],
    [JSON.parse('{"__proto__": 1}'), "__proto__"],
  ])("%j names the parameter that is wrong", async (given, parameter) => {
    serve();
    const client = await connect();
    expect(await client.call("org.example.test.Echo", given)).toEqual({
      error: "org.varlink.service.InvalidParameter",
      parameters: { parameter },
    });
    expect(heard).toEqual([]);
  });

  test("null is a parameter that is not given, and no parameters are none", async () => {
    serve();
    const client = await connect();
    for (const sent of [{ parameters: { text: null } }, { parameters: null }, {}]) {
      client.send(`${JSON.stringify({ method: "org.example.test.Echo", ...sent })}\0`);
      expect(await client.next()).toEqual({ parameters: { text: "nothing" } });
    }
  });

  test("a method's own error, the system's and a fault of ours are told apart", async () => {
    serve();
    const client = await connect();
    expect(await client.call("org.example.test.Refuse")).toEqual({
      error: "org.example.test.No",
      parameters: { why: "so" },
    });
    expect(failures).toEqual([]);
    expect(await client.call("org.example.test.Break")).toEqual({
      error: "io.systemd.System",
      parameters: { origin: "linux", errno: 28, errnoName: "ENOSPC" },
    });
    expect(await client.call("org.example.test.Fault")).toMatchObject({
      error: "io.systemd.System",
      parameters: { errnoName: "EIO" },
    });
    expect(failures[0]).toBe("org.example.test.Break: the disk is full");
    expect(failures).toHaveLength(2);
  });

  test("the caller is known by the kernel's word", async () => {
    serve();
    const client = await connect();
    expect(await client.call("org.example.test.Who")).toEqual({
      parameters: { uid: process.getuid?.(), pid: process.pid },
    });
  });

  test("a caller that has ended has no pid, whoever has its number now", async () => {
    serve();
    // The child passes its connection on to a second process and ends.
    const script = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
if os.fork(): sys.exit(0)
sys.stdin.read()
s.sendall(b'{"method":"org.example.test.Who"}\\0'); print(s.recv(4096)[:-1].decode())`;
    const child = Bun.spawn([PYTHON, "-c", script, path], { stdin: "pipe", stdout: "pipe" });
    await child.exited;
    child.stdin.end();
    expect(JSON.parse(await new Response(child.stdout).text())).toEqual({
      parameters: { uid: process.getuid?.() },
    });
  });
});

describe("the stream", () => {
  test("calls in one write are answered in order, a slow one first", async () => {
    serve();
    const client = await connect();
    client.send(`{"method":"org.example.test.Wait"}\0${echo("a")}${echo("b")}`);
    await Bun.sleep(20);
    expect(heard).toEqual([]);
    waiting.resolve();
    expect(await client.next()).toEqual({ parameters: {} });
    expect(await client.next()).toEqual({ parameters: { text: "a" } });
    expect(await client.next()).toEqual({ parameters: { text: "b" } });
  });

  test("a call may come byte by byte, a character of several bytes too", async () => {
    serve();
    const client = await connect();
    for (const byte of Buffer.from(echo("grün 🌱"))) {
      client.send(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await client.next()).toEqual({ parameters: { text: "grün 🌱" } });
  });

  test("oneway has no answer, not even an error; what follows has its own", async () => {
    serve();
    const client = await connect();
    client.send(echo("quiet", { oneway: true }));
    client.ask("org.example.test.Refuse", {}, { oneway: true });
    client.ask("org.example.none.Nothing", {}, { oneway: true });
    client.send(echo("loud"));
    expect(await client.next()).toEqual({ parameters: { text: "loud" } });
    expect(heard).toEqual(["quiet", "loud"]);
  });

  test("more gets the one reply that there is; upgrade is not implemented", async () => {
    serve();
    const client = await connect();
    client.send(echo("one", { more: true }));
    expect(await client.next()).toEqual({ parameters: { text: "one" } });
    client.send(echo("two", { upgrade: true }));
    expect(await client.next()).toEqual({
      error: "org.varlink.service.MethodNotImplemented",
      parameters: { method: "org.example.test.Echo" },
    });
    expect(heard).toEqual(["one"]);
  });

  test("several replies come in turn, and all but the last say that more follow", async () => {
    serve();
    const client = await connect();
    const more = { more: true };
    client.ask("org.example.test.Count", { to: 3 }, more);
    client.ask("org.example.test.Count", { to: 1 }, more);
    client.ask("org.example.test.Count", {}, more);
    client.ask("org.example.test.Only", {}, more);
    client.send(echo("after"));
    const expected: object[] = [
      { parameters: { at: 1 }, continues: true },
      { parameters: { at: 2 }, continues: true },
      ...[{ parameters: { at: 3 } }, { parameters: { at: 1 } }, { parameters: {} }],
      ...[{ parameters: { at: 1 } }, { parameters: { text: "after" } }],
    ];
    for (const each of expected) expect((await client.next()) as object).toEqual(each);
  });

  test("whoever takes one reply alone gets none of several, but the parameter's fault first", async () => {
    serve();
    const client = await connect();
    const wrong = { error: "org.varlink.service.InvalidParameter", parameters: { parameter: "x" } };
    const needs = { error: "org.varlink.service.ExpectedMore" };
    expect(await client.call("org.example.test.Count", { to: 3 })).toEqual(needs);
    expect(await client.call("org.example.test.Count", { x: 1 })).toEqual(wrong);
    // A method with nothing to say to such a caller does not look at its parameters.
    expect(await client.call("org.example.test.Only", { x: 1 })).toEqual(needs);
    client.ask("org.example.test.Count", { to: 3 }, { oneway: true });
    client.send(echo("after"));
    expect(await client.next()).toEqual({ parameters: { text: "after" } });
  });

  test("a client that does not read has no replies made for it, and others go on", async () => {
    serve();
    const fd = connectStream(path);
    made = 0;
    const call = { method: "org.example.test.Count", parameters: { to: 1_000_000, size: 1000 } };
    send(fd, Buffer.from(`${JSON.stringify({ ...call, more: true })}\0`));
    // As many as a socket holds: when no more are made, the next has to wait for the client.
    let before = -1;
    await until("its socket is full", () => {
      const isFull = made > 0 && made === before;
      before = made;
      return isFull;
    });
    expect(made).toBeLessThan(100_000);
    const other = await connect();
    expect(await other.call("org.example.test.Echo", { text: "hello" })).toEqual({
      parameters: { text: "hello" },
    });
    close(fd);
    await until("it is seen to be gone", () => reasons.length > 0);
    const atEnd = made;
    await other.call("org.example.test.Echo");
    expect(made).toBe(atEnd);
  });

  test("who says that nothing more comes still gets all answers, then the end", async () => {
    serve();
    const client = await connect();
    client.send(echo("a") + echo("b"));
    client.finish();
    expect(await client.next()).toEqual({ parameters: { text: "a" } });
    expect(await client.next()).toEqual({ parameters: { text: "b" } });
    expect(await client.next()).toBeUndefined();
  });

  /** From Linux 6.16 on; before, they are closed. */
  const kernelRefuses = () => {
    const [ours, theirs] = socketPair();
    const refuses = refuseDescriptors(theirs);
    for (const end of [ours, theirs]) close(end);
    return refuses;
  };

  test.skipIf(!kernelRefuses())("descriptors that come along are refused", async () => {
    serve();
    const fd = connectStream(path);
    const placeholder = createPlaceholder();
    expect(() => send(fd, Buffer.from(echo("a")), [placeholder])).toThrow("EPERM");
    send(fd, Buffer.from(echo("b")));
    expect(await answers(fd, 1)).toEqual([{ parameters: { text: "b" } }]);
    close(placeholder);
    close(fd);
  });

  test.skipIf(kernelRefuses())("descriptors that come along are closed", async () => {
    serve();
    const fd = connectStream(path);
    const placeholder = createPlaceholder();
    send(fd, Buffer.from(echo("a")));
    await answers(fd, 1);
    const before = openFiles();
    send(fd, Buffer.from(echo("b")), [placeholder, placeholder]);
    expect(await answers(fd, 1)).toEqual([{ parameters: { text: "b" } }]);
    await until("what came is closed", () => openFiles() === before);
    close(placeholder);
    close(fd);
  });
});

const openFiles = () => readdirSync("/proc/self/fd").length;

/** Connects, and waits to be sent away. */
async function sentAway(): Promise<void> {
  const fd = connectStream(path);
  await expect(answers(fd, 1)).rejects.toThrow("closed after 0 answers");
  close(fd);
}

/** Reads so many answers from a plain socket. */
async function answers(fd: number, count: number): Promise<unknown[]> {
  const buffer = new ReceiveBuffer(65536);
  const decoder = new TextDecoder();
  const found: unknown[] = [];
  let text = "";
  while (found.length < count) {
    const received = await until("an answer or the end", () => receive(fd, buffer));
    if (received.data.length === 0) throw new Error(`closed after ${found.length} answers`);
    const parts = (text + decoder.decode(received.data, { stream: true })).split("\0");
    text = parts.pop() ?? "";
    for (const part of parts) found.push(JSON.parse(part));
  }
  return found;
}

describe("what comes after an answer", () => {
  const after = (parameters: object, more: object = {}) =>
    Buffer.from(`${JSON.stringify({ method: "org.example.test.After", parameters, ...more })}\0`);

  test.each([
    ["the answer", {}, `{"parameters":{"text":""}}\0`.length],
    ["nothing of a oneway call", { oneway: true }, undefined],
  ])("finds %s with the client", async (_what, more, length) => {
    serve();
    const fd = connectStream(path);
    const found = Promise.withResolvers<number | undefined>();
    afterAnswer = () => found.resolve(receive(fd, new ReceiveBuffer(100))?.data.length);
    send(fd, after({}, more));
    expect(await found.promise).toBe(length);
    close(fd);
  });

  test("is done once, while a client leaves its answer where it is", async () => {
    serve();
    const fd = connectStream(path);
    let done = 0;
    afterAnswer = () => done++;
    send(fd, after({ size: 2 ** 23 }));
    await until("it is done", () => done > 0);
    // It takes the rest, and then another one.
    send(fd, Buffer.from(echo("a")));
    expect(await answers(fd, 2)).toMatchObject([{}, { parameters: { text: "a" } }]);
    expect(done).toBe(1);
    close(fd);
  });

  test("is done where the client has left before its answer", async () => {
    serve();
    let done = 0;
    afterAnswer = () => done++;
    const client = await connect();
    client.send(after({ wait: true }));
    const other = await connect();
    await other.call("org.example.test.Echo");
    client.close();
    waiting.resolve();
    await until("it is done", () => done > 0);
    await until("the connection has ended", () => reasons.length > 0);
    expect({ done, failures }).toEqual({ done: 1, failures: [] });
  });
});

describe("whoever does not speak varlink is sent away", () => {
  test.each([
    ["nothing but an end", "\0"],
    ["no JSON", "hello\0"],
    ["half of it", '{"method":"org.example.test.Echo"\0'],
    ["an array", "[]\0"],
    ["a string", '"org.example.test.Echo"\0'],
    ["no method", "{}\0"],
    ["a method that is a number", '{"method":5}\0'],
    ["parameters that are an array", '{"method":"org.example.test.Echo","parameters":[]}\0'],
    ["a flag that is a number", '{"method":"org.example.test.Echo","more":1}\0'],
    ["two flags", '{"method":"org.example.test.Echo","more":true,"oneway":true}\0'],
    ["bytes that are no UTF-8", Buffer.from('{"method":"\xff"}\0', "latin1")],
    ["a deep nest", `{"method":"a.B","parameters":{"a":${"[".repeat(60_000)}\0`],
    ["HTTP", "GET / HTTP/1.1\r\n\r\n\0"],
  ])("%s", async (_what, data) => {
    serve();
    const other = await connect();
    const client = await connect();
    client.send(data);
    expect(await client.next()).toBeUndefined();
    expect(reasons).toHaveLength(1);
    expect(await other.call("org.example.test.Echo", { text: "x" })).toEqual({
      parameters: { text: "x" },
    });
    expect(failures).toEqual([]);
  });

  test("what came before it is answered", async () => {
    serve();
    const client = await connect();
    client.send(`${echo("a")}nonsense\0${echo("b")}`);
    expect(await client.next()).toEqual({ parameters: { text: "a" } });
    expect(await client.next()).toBeUndefined();
    expect(heard).toEqual(["a"]);
  });

  test("a message may be long, but not endless", async () => {
    serve();
    const fits = await connect();
    const room = LONGEST_MESSAGE - echo("").length + 1;
    fits.send(echo("x".repeat(room)));
    expect((await fits.next())?.parameters?.text).toHaveLength(room);
    const endless = await connect();
    endless.send("x".repeat(LONGEST_MESSAGE + 1));
    expect(await endless.next()).toBeUndefined();
    expect(reasons[0]).toContain("a message of more than 65536 bytes");
  });

  test("random bytes and calls with a byte changed end a connection or are answered, and nothing else", async () => {
    const seed = Number(process.env.P7_SEED ?? Math.floor(Math.random() * 2 ** 32));
    process.stdout.write(`P7_SEED=${seed}\n`);
    const random = new Random(seed);
    serve();
    const other = await connect();
    const whole = Buffer.from(echo("some text"));
    for (let round = 0; round < 300; round++) {
      const data = round % 3 === 0 ? Buffer.alloc(64) : Buffer.from(whole);
      if (round % 3 === 0) for (const at of data.keys()) data[at] = random.below(256);
      else data[random.below(data.length - 1)] = random.below(256);
      const client = await Client.connect(path);
      client.send(data);
      client.finish();
      // Whatever it was, it has an end: answers first, then the close.
      const failed = `P7_SEED=${seed}, round ${round}: ${data.toString("latin1")}`;
      while ((await client.next()) !== undefined) expect(failures, failed).toEqual([]);
      client.close();
    }
    expect(await other.call("org.example.test.Echo", { text: "x" })).toEqual({
      parameters: { text: "x" },
    });
  });
});

describe("a client holds up itself alone", () => {
  test("one that sends and never reads is not read from any further", async () => {
    serve();
    const fd = connectStream(path);
    const call = Buffer.from(echo("a".repeat(100), { parameters: { text: "a", count: 10_000 } }));
    let sent = 0;
    let rest = call.subarray(0, 0);
    // Until the server has not taken anything for a while.
    for (let idle = 0; idle < 50; ) {
      if (rest.length === 0) rest = call;
      const taken = send(fd, rest);
      if (taken === undefined) {
        idle++;
        await Bun.sleep(2);
        continue;
      }
      idle = 0;
      rest = rest.subarray(taken);
      if (rest.length === 0) sent++;
    }
    expect(heard.length).toBeLessThan(sent);
    const other = await connect();
    expect(await other.call("org.example.test.Echo", { text: "x" })).toEqual({
      parameters: { text: "x" },
    });
    const all = await answers(fd, sent);
    expect(all).toHaveLength(sent);
    close(fd);
  });

  test("one that floods with calls does not keep another one waiting for its end", async () => {
    serve();
    const flood = await connect();
    flood.send(echo("flood", { oneway: true }).repeat(700));
    flood.ask("org.example.test.Wait");
    const other = await connect();
    expect(await other.call("org.example.test.Echo", { text: "x" })).toEqual({
      parameters: { text: "x" },
    });
    waiting.resolve();
    expect(await flood.next()).toEqual({ parameters: {} });
    expect(heard.filter((text) => text === "flood")).toHaveLength(700);
  });

  test("one that is gone before its answer harms nobody", async () => {
    serve();
    const client = await connect();
    client.ask("org.example.test.Wait");
    const other = await connect();
    await other.call("org.example.test.Echo");
    client.close();
    waiting.resolve();
    await other.call("org.example.test.Echo");
    await until("its connection has ended", () => reasons.length > 0);
    expect(reasons[0]).toContain("the client is gone");
    expect(failures).toEqual([]);
  });

  test("more than its share of connections are closed at once, and a place that is free is given", async () => {
    serve({ limits: { perUser: 3, total: 3 } });
    const first = await connect();
    const others = [await connect(), await connect()];
    for (const client of [first, ...others]) await client.call("org.example.test.Echo");
    await sentAway();
    expect(reasons[0]).toContain("too many are connected");
    first.close();
    await until("it has ended", () => reasons.some((reason) => /the client/.test(reason)));
    const again = await connect();
    expect(await again.call("org.example.test.Who")).toBeDefined();
  });

  test("a crowd of others does not keep root out, nor root a crowd", async () => {
    Bun.spawnSync(["chmod", "755", folder]);
    serve({ limits: { perUser: 1, total: 2 } });
    // Each says when it is in, and stays until it is ended.
    const script = `
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
try:
    s.sendall(b'{"method":"org.example.test.Who"}\\0'); answer = s.recv(4096)
except OSError:
    answer = b""
print(len(answer) > 0, flush=True)
if answer: s.recv(1)`;
    const as = async (uid: number) => {
      const child = Bun.spawn(
        ["setpriv", `--reuid=${uid}`, "--clear-groups", "--", PYTHON, "-c", script, path],
        { stdout: "pipe" },
      );
      const { value } = await child.stdout.getReader().read();
      return {
        child,
        answered: Buffer.from(value ?? [])
          .toString()
          .trim(),
      };
    };
    const crowd = [await as(1), await as(1), await as(2), await as(3)];
    expect(crowd.map(({ answered }) => answered)).toEqual(["True", "False", "True", "False"]);
    for (const client of [await connect(), await connect()]) {
      expect(await client.call("org.example.test.Who")).toMatchObject({ parameters: { uid: 0 } });
    }
    await sentAway();
    for (const { child } of crowd) child.kill();
    await Promise.all(crowd.map(({ child }) => child.exited));
  });
});

describe("the socket", () => {
  test("is for everybody, and goes with the server and its connections", async () => {
    const server = serve();
    expect(lstatSync(path).isSocket()).toBe(true);
    expect(lstatSync(path).mode & 0o7777).toBe(0o666);
    const client = await connect();
    await client.call("org.example.test.Echo");
    server.stop();
    expect(await client.next()).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    server.stop();
  });

  test("ends amid a flood, and writes nothing to the descriptors that come after", async () => {
    const server = serve();
    const flood = await connect();
    flood.send(echo("flood").repeat(700));
    // One turn of the event loop at a time, or all would be done.
    while (heard.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(heard.length).toBeLessThan(700);
    server.stop();
    // They get the numbers that are free now.
    const pairs = Array.from({ length: 4 }, socketPair);
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    const buffer = new ReceiveBuffer(1024);
    for (const fd of pairs.flat()) expect(receive(fd, buffer)).toBeUndefined();
    for (const fd of pairs.flat()) close(fd);
  });

  test("takes the place of one that was left behind", async () => {
    close(listenStream(path));
    serve();
    const client = await connect();
    expect(await client.call("org.example.test.Echo")).toBeDefined();
  });

  test("leaves alone the one that has taken its place", () => {
    const first = serve();
    const second = serve();
    first.stop();
    expect(existsSync(path)).toBe(true);
    second.stop();
    expect(existsSync(path)).toBe(false);
  });

  test("does not touch anything else that is in its place", () => {
    mkdirSync(path);
    expect(() => serve()).toThrow(`${path} is in the way and is no socket`);
    rmSync(path, { recursive: true });
    writeFileSync(path, "kept");
    expect(() => serve()).toThrow("remove it");
    expect(lstatSync(path).size).toBe(4);
  });
});
