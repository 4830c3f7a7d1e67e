import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  asideBacklog,
  bindDatagram,
  close,
  closeAside,
  createPlaceholder,
  Discarder,
  dropDatagram,
  type Fd,
  passCredentials,
  peekDatagram,
  ReceiveBuffer,
  receive,
  socketPair,
} from "../../../lib/linux/index.ts";
import { until } from "../../support/until.ts";

const PROGRAM = join(import.meta.dir, "../hostile.py");
const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A datagram socket, and a sender of descriptors whose close(2) waits until `release`. */
async function hostile(count: number) {
  const folder = mkdtempSync(join(tmpdir(), "p7-aside-"));
  ends.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "socket");
  const fd = bindDatagram(path, passCredentials);
  ends.push(() => close(fd));
  const child = Bun.spawn(["/usr/bin/python3", PROGRAM, path, "dgram", "hello", String(count)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  ends.push(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  const sent = child.stdout.getReader().read();
  const release = async () => {
    child.stdin.end();
    await child.exited;
    await until("no thread waits", () => asideBacklog().threads === 0);
  };
  return { fd, sent, release };
}

function nameOf(fd: Fd): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

const openDescriptors = () => readdirSync("/proc/self/fd").length;

test("descriptors whose close waits are closed aside, each owner's behind its own", async () => {
  const { fd, release } = await hostile(20);
  const buffer = new ReceiveBuffer(100);
  const fds: Fd[] = [];
  // The kernel lets ten datagrams wait.
  await until("all twenty have come", () => {
    fds.push(...(receive(fd, buffer)?.fds ?? []));
    return fds.length === 20;
  });
  const names = fds.map((one) => nameOf(one));
  closeAside("mallory", fds);
  // Sixteen threads wait, and the other four for one of them: it has not waited itself.
  expect(asideBacklog()).toEqual({ threads: 16, descriptors: 4 });
  // Somebody else's are closed meanwhile, with the sign of it that a barrier's sender waits for.
  const [ours, theirs] = socketPair();
  closeAside("alice", [theirs]);
  const end = new ReceiveBuffer(1);
  await until("alice's is closed", () => receive(ours, end)?.data.length === 0);
  close(ours);
  await release();
  await until("none waits for a thread", () => asideBacklog().descriptors === 0);
  // Some of the numbers may stand for something else by now.
  expect(fds.filter((one, at) => nameOf(one) === names[at])).toEqual([]);
}, 30_000);

test("a thousand plain ones at once are closed over some turns of the event loop", async () => {
  const before = openDescriptors();
  closeAside("bob", Array.from({ length: 1000 }, createPlaceholder));
  expect(asideBacklog().descriptors).toBeGreaterThan(0);
  await until("all are closed", () => openDescriptors() <= before);
  expect(asideBacklog()).toEqual({ threads: 0, descriptors: 0 });
}, 30_000);

test("a datagram's descriptors are seen and thrown away without ever being ours", async () => {
  const { fd, sent, release } = await hostile(3);
  await sent;
  const buffer = new ReceiveBuffer(100);
  const before = openDescriptors();
  const discarder = new Discarder(fd, 100);
  for (let count = 0; count < 3; count++) {
    const peeked = peekDatagram(fd, buffer);
    expect(peeked).toMatchObject({
      hasDescriptors: true,
      credentials: { uid: process.getuid?.() },
    });
    expect(Buffer.from(peeked?.data ?? []).toString()).toBe("hello");
    expect(discarder.discard("mallory", peeked?.data[0] ?? 0)).toBeTrue();
  }
  expect(peekDatagram(fd, buffer)).toBeUndefined();
  expect(asideBacklog()).toEqual({ threads: 3, descriptors: 0 });
  // Each thread has a stream of its own, on a duplicate of the socket.
  expect(openDescriptors()).toBe(before + 3);
  await release();
}, 30_000);

test("a datagram without descriptors stays where it is until it is dropped", () => {
  const buffer = new ReceiveBuffer(100);
  const python = `import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)
s.sendto(b"one",sys.argv[1]);s.sendto(b"two",sys.argv[1])`;
  const path = join(tmpdir(), `p7-aside-${process.pid}`);
  const own = bindDatagram(path, passCredentials);
  ends.push(
    () => rmSync(path),
    () => close(own),
  );
  expect(Bun.spawnSync(["python3", "-c", python, path]).exitCode).toBe(0);
  const text = () => Buffer.from(peekDatagram(own, buffer)?.data ?? []).toString();
  expect([text(), text()]).toEqual(["one", "one"]);
  dropDatagram(own);
  expect(text()).toBe("two");
  expect(peekDatagram(own, buffer)?.hasDescriptors).toBeFalse();
  dropDatagram(own);
  expect(peekDatagram(own, buffer)).toBeUndefined();
});
