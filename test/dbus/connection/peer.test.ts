/** The connection against a peer that plays the bus and sends what no bus would, or takes nothing. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Connection, type IncomingCall } from "../../../lib/dbus/index.ts";
import { marshal } from "../../../lib/dbus/protocol/marshal.ts";
import { MessageType, type Outgoing } from "../../../lib/dbus/protocol/message.ts";
import { messageLength, Unmarshaller } from "../../../lib/dbus/protocol/unmarshal.ts";
import { Variant } from "../../../lib/dbus/protocol/variant.ts";
import {
  close,
  listenStream,
  ReceiveBuffer,
  receive,
  send as sendNow,
} from "../../../lib/linux/index.ts";
import { accept } from "../../../lib/linux/sockets/socket.ts";
import { Random } from "../../login1/support/random-source.ts";
import { until } from "../../support/until.ts";

let folder: string;
let peer: Bun.UnixSocketListener<undefined>;
let client: Bun.Socket<undefined> | undefined;
let connection: Connection;
let calls: IncomingCall[];
let bad: string[];
let closed: Promise<void>;
/** What came after the authentication. */
let received: Buffer;

/** The peer answers the authentication and Hello, as a bus does. */
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "p7-peer-"));
  calls = [];
  bad = [];
  received = Buffer.alloc(0);
  let greeted = false;
  peer = Bun.listen<undefined>({
    unix: join(folder, "bus"),
    socket: {
      open(socket) {
        client = socket;
      },
      data(socket, data) {
        received = Buffer.concat([received, data]);
        const begin = received.indexOf("BEGIN\r\n");
        if (greeted || begin < 0) return;
        greeted = true;
        received = received.subarray(begin + 7);
        socket.write("OK 0123456789abcdef\r\nAGREE_UNIX_FD\r\n");
        socket.write(
          bytesOf({ type: MessageType.METHOD_RETURN, serial: 1, replySerial: 1, ...text(":1.1") }),
        );
      },
    },
  });
  connection = await Connection.open(`unix:path=${join(folder, "bus")}`);
  connection.onCall((call) => {
    // What is not asked for in time is never decoded.
    if (!call.path.startsWith("/unread")) void call.body;
    calls.push(call);
    connection.reply(call);
    return true;
  });
  connection.onBadMessage = (error) => bad.push(error.message);
  closed = new Promise((resolve) => {
    connection.onClosed = resolve;
  });
});
afterEach(() => {
  connection.close();
  client?.end();
  peer.stop(true);
  rmSync(folder, { recursive: true });
});

const text = (value: string) => ({ signature: "s", body: [value] });
const bytesOf = (message: Outgoing) => Buffer.from(marshal(message).data);
const callTo = (path: string, signature = "", body: unknown[] = []): Outgoing => ({
  ...{ type: MessageType.METHOD_CALL, serial: 7, path, interface: "a.b", member: "C" },
  ...{ signature, body },
});

/** The bytes of a message with the sender that a bus puts behind the other fields. */
function withSender(message: Outgoing, sender: string): Buffer {
  const plain = bytesOf(message);
  const fieldsLength = plain.readUInt32LE(12);
  const fields = plain.subarray(16, 16 + fieldsLength);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(sender.length);
  const own = Buffer.concat([Buffer.from([7, 1, 0x73, 0]), length, Buffer.from(`${sender}\0`)]);
  const joined = Buffer.concat([fields, Buffer.alloc(-fields.length & 7), own]);
  const head = Buffer.from(plain.subarray(0, 16));
  head.writeUInt32LE(joined.length, 12);
  const body = plain.subarray((16 + fieldsLength + 7) & ~7);
  return Buffer.concat([head, joined, Buffer.alloc(-joined.length & 7), body]);
}

/** What the connection has sent after Hello. */
function sentMessages() {
  const bytes = Uint8Array.from(received);
  const found = [];
  for (let at = 0; at + 16 <= bytes.length; ) {
    const read = new Unmarshaller(bytes);
    const length = messageLength(read.view, at);
    if (at + length > bytes.length) break;
    found.push(read.read(at, length, []));
    at += length;
  }
  return found;
}

/** Sends all of it, as the connection takes it. */
async function send(data: Uint8Array): Promise<void> {
  let rest = data;
  await until(`${data.length} bytes are taken`, () => {
    const sent = client?.write(rest) ?? -1;
    if (sent > 0) rest = rest.subarray(sent);
    return sent < 0 || rest.length === 0;
  });
}

/** The same message in the other byte order: each number of its fixed header and fields turned round. */
function bigEndian(): Buffer {
  const field = (code: number, type: string, value: string) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(value.length);
    const bytes = [
      Buffer.from([code, 1, type.charCodeAt(0), 0]),
      length,
      Buffer.from(`${value}\0`),
    ];
    return Buffer.concat(bytes);
  };
  const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 7)]);
  const signature = Buffer.from([8, 1, 0x67, 0, 3, 0x75, 0x74, 0x73, 0]);
  const fields = [field(1, "o", "/big"), field(3, "s", "C"), signature];
  const joined = Buffer.concat([...fields.slice(0, -1).map(padded), signature]);
  const body = Buffer.alloc(16 + 4 + 4);
  body.writeUInt32BE(5, 0);
  body.writeBigUInt64BE(6n, 8);
  body.writeUInt32BE(3, 16);
  body.write("abc", 20);
  const bodyAndNul = Buffer.concat([body.subarray(0, 23), Buffer.from([0])]);
  const head = Buffer.alloc(16);
  head.set([0x42, MessageType.METHOD_CALL, 0, 1]);
  head.writeUInt32BE(bodyAndNul.length, 4);
  head.writeUInt32BE(9, 8);
  head.writeUInt32BE(joined.length, 12);
  return Buffer.concat([padded(Buffer.concat([head, joined])), bodyAndNul]);
}

describe("messages", () => {
  test("come in pieces of any size, and in both byte orders", async () => {
    const all = Buffer.concat([bytesOf(callTo("/one", "s", ["x"])), bigEndian()]);
    for (const byte of all) {
      await send(Buffer.from([byte]));
      await Bun.sleep(0);
    }
    await until("both calls have come", () => calls.length === 2);
    expect(calls.map(({ path, body }) => [path, body])).toEqual([
      ["/one", ["x"]],
      ["/big", [5, 6n, "abc"]],
    ]);
    expect(calls[1]?.interface).toBeUndefined();
    expect(bad).toEqual([]);
  });

  test("of megabytes are read whole, where they are what was asked for", async () => {
    const long = "x".repeat(3_000_000);
    const asked = connection.call({ destination: "a.b", path: "/", interface: "a.b", member: "C" });
    await send(
      bytesOf({ type: MessageType.METHOD_RETURN, serial: 2, replySerial: 2, ...text(long) }),
    );
    const [got] = await asked;
    expect(got === long).toBeTrue();
  });

  test.each([
    ["body", callTo("/long", "s", ["x".repeat(3_000_000)])],
    ["path", callTo(`/${"a".repeat(3_000_000)}`)],
    ["signature and body", callTo("/long", "ayas", [new Uint8Array(70_000), ["x"]])],
  ])(
    "with a long %s that nobody asked for are refused by their header alone",
    async (_what, call) => {
      const sender = ":1.234";
      const before = process.memoryUsage.rss();
      for (let count = 0; count < 20; count++)
        await send(withSender({ ...call, serial: 90 + count }, sender));
      await send(bytesOf(callTo("/after")));
      await until("the call has come", () => calls.length === 1);
      expect(calls.map(({ path }) => path)).toEqual(["/after"]);
      expect(bad).toHaveLength(20);
      const replies = sentMessages().filter(({ type }) => type === MessageType.ERROR);
      expect(replies.map(({ replySerial }) => replySerial)).toEqual(
        Array.from({ length: 20 }, (_, count) => 90 + count),
      );
      expect(replies[0]?.errorName).toBe("org.freedesktop.DBus.Error.LimitsExceeded");
      expect(process.memoryUsage.rss() - before).toBeLessThan(100e6);
    },
  );

  test("that are long signals are passed over, and an answer to a call from before is none of theirs", async () => {
    await send(bytesOf({ ...callTo("/s", "s", ["x".repeat(100_000)]), type: MessageType.SIGNAL }));
    await send(bytesOf(callTo("/after")));
    await until("the call has come", () => calls.length === 1);
    expect(bad).toEqual([expect.stringContaining("too long")]);
  });

  test("are not decoded where nobody asks for what they say", async () => {
    const message = bytesOf(callTo("/unread", "s", ["abc"]));
    message.writeUInt8(0x21, message.length - 1);
    await send(message);
    await until("the call has come", () => calls.length === 1);
    expect(bad).toEqual([]);
    expect(() => calls[0]?.body).toThrow("not decoded in time");
  });

  const WRONG: [string, (message: Buffer) => void][] = [
    ["a string that is longer than the body", (bytes) => bytes.writeUInt32LE(99, bytes.length - 8)],
    ["a string without its NUL", (bytes) => bytes.writeUInt8(0x21, bytes.length - 1)],
    ["no serial", (bytes) => bytes.writeUInt32LE(0, 8)],
    ["a header field of a wrong type", (bytes) => bytes.writeUInt8(0x75, 18)],
    ["a path that goes past the header", (bytes) => bytes.writeUInt32LE(5000, 20)],
  ];
  test.each(WRONG)("with %s are named and dropped", async (_what, spoil) => {
    const message = bytesOf(callTo("/bad", "s", ["abc"]));
    spoil(message);
    await send(message);
    await send(bytesOf(callTo("/good")));
    await until("the next call has come", () => calls.length > 0);
    expect(calls.map(({ path }) => path)).toEqual(["/good"]);
    expect(bad).toHaveLength(1);
  });

  test.each([
    ["without a byte order", Buffer.alloc(16, 0x78)],
    ["that promises 4 GB", Buffer.from("6c0100010000000001000000ffffffff", "hex")],
    ["of another version", Buffer.from("6c010002000000000100000000000000", "hex")],
  ])("%s end the connection, since nothing behind it can be read", async (_what, bytes) => {
    await send(bytes);
    await closed;
    expect(calls).toEqual([]);
  });

  test("that are random never do more than to be dropped", () => {
    const seed = Number(process.env.P7_SEED ?? Math.floor(Math.random() * 2 ** 32));
    process.stdout.write(`P7_SEED=${seed}\n`);
    const random = new Random(seed);
    const body = [1, 2n, "für", ["a", "b"], { k: new Variant("(ay)", [[1, 2]]) }, [true, 1.5, -1]];
    const whole = bytesOf(callTo("/random", "yxsasa{sv}(bdi)", body));
    for (let round = 0; round < 20_000; round++) {
      const bytes = Uint8Array.from(whole);
      const spoilt = 1 + random.below(4);
      for (let count = 0; count < spoilt; count++) {
        bytes[random.below(bytes.length)] = random.below(256);
      }
      const read = new Unmarshaller(bytes);
      try {
        const length = messageLength(read.view, 0);
        if (length <= bytes.length) void read.read(0, length, []).body;
      } catch (error) {
        const { name, message } = error as Error;
        const where = `P7_SEED=${seed}, round ${round}`;
        // Whatever it is about, it is no fault of the reader's own.
        expect(["TypeError", "RangeError"], where).toContain(name);
        expect(message, where).not.toMatch(/undefined|Out of bounds|is not a/i);
      }
    }
  });

  test("that are cut off anywhere are not read past their end", () => {
    const whole = bytesOf(callTo("/cut", "sas", ["text", ["a", "b"]]));
    for (let length = 17; length < whole.length; length++) {
      // Longer than the message, as the buffer of a connection is.
      const bytes = new Uint8Array(4096).fill(0x41);
      bytes.set(whole.subarray(0, length));
      const header = new DataView(bytes.buffer);
      const fieldsEnd = (16 + header.getUint32(12, true) + 7) & ~7;
      if (length < fieldsEnd) continue;
      header.setUint32(4, length - fieldsEnd, true);
      expect(() => new Unmarshaller(bytes).read(0, length, []).body).toThrow(TypeError);
    }
  });

  test("as deep as their signature may be, and no deeper", () => {
    const nested = (depth: number) => {
      let value: Variant = new Variant("y", 1);
      for (let level = 0; level < depth; level++) value = new Variant("v", value);
      const bytes = bytesOf(callTo("/deep", "v", [value]));
      return () => new Unmarshaller(Uint8Array.from(bytes)).read(0, bytes.length, []).body;
    };
    expect(nested(60)).not.toThrow();
    expect(nested(70)).toThrow("too deep");
  });
});

test("who takes no answers is asked no more, and gets all of them later", async () => {
  // By plain descriptors, since Bun reads a socket on whether it is asked to or not.
  const path = join(folder, "slow");
  const listener = listenStream(path);
  const opening = Connection.open(`unix:path=${path}`);
  const fd = await until("it has connected", () => accept(listener));
  const hello = { type: MessageType.METHOD_RETURN, serial: 1, replySerial: 1, ...text(":1.1") };
  sendNow(fd, Buffer.from("OK 0123456789abcdef\r\nAGREE_UNIX_FD\r\n"));
  sendNow(fd, bytesOf(hello));
  const slow = await opening;
  let asked = 0;
  const reply = "x".repeat(10_000);
  slow.onCall((call) => {
    asked++;
    slow.reply(call, "s", [reply]);
    return true;
  });
  const count = 2000;
  const one = bytesOf(callTo("/slow"));
  let sent = 0;
  const sendMore = () => {
    while (sent < count && sendNow(fd, one) === one.length) sent++;
  };
  // Until nothing moves any more: the connection reads no further, and the kernel takes no more.
  for (let before = -1; before !== asked + sent; await Bun.sleep(100)) {
    before = asked + sent;
    sendMore();
  }
  expect(asked).toBeLessThan(count / 2);
  const buffer = new ReceiveBuffer(1 << 16);
  let bytes = 0;
  await until("all answers have come", () => {
    sendMore();
    for (let got = receive(fd, buffer); got; got = receive(fd, buffer)) bytes += got.data.length;
    return asked === count && bytes >= count * reply.length;
  });
  slow.close();
  for (const open of [fd, listener]) close(open);
});
