import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  bindDatagram,
  close,
  connectDatagram,
  O_RDONLY,
  onReadiness,
  open,
  passCredentials,
  ReceiveBuffer,
  receive,
  SystemError,
  send,
  socketPair,
} from "../../../lib/linux/index.ts";
import type { Received } from "../../../lib/linux/sockets/receive.ts";

const folders: string[] = [];
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-linux-"));
  folders.push(path);
  return path;
}
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true });
});

test("a datagram brings its bytes, its descriptors and its sender", async () => {
  const path = join(folder(), "socket");
  const server = bindDatagram(path);
  passCredentials(server);
  const client = connectDatagram(path);
  const [left, right] = socketPair();
  const arrived = Promise.withResolvers<Received>();
  const buffer = new ReceiveBuffer(4096);
  const end = onReadiness(server, () => {
    const message = receive(server, buffer);
    if (message) arrived.resolve(message);
  });
  expect(send(client, Buffer.from("READY=1\n"), [left])).toBe(8);
  const message = await arrived.promise;
  expect(Buffer.from(message.data).toString()).toBe("READY=1\n");
  expect(message.credentials).toEqual({ pid: process.pid, uid: 0, gid: 0 });
  expect(message.fds).toHaveLength(1);
  for (const passed of message.fds) {
    // It is the same socket: what goes in at the other end comes out here.
    send(right, Buffer.from("through"));
    expect(Buffer.from(receive(passed, buffer)?.data ?? []).toString()).toBe("through");
    close(passed);
  }
  end();
  for (const fd of [server, client, left, right]) close(fd);
});

test("a burst of datagrams arrives whole", async () => {
  const path = join(folder(), "socket");
  const server = bindDatagram(path);
  const buffer = new ReceiveBuffer(4096);
  let count = 0;
  const all = Promise.withResolvers<void>();
  const end = onReadiness(server, () => {
    while (receive(server, buffer)) if (++count === 5000) all.resolve();
  });
  const writer = Bun.spawn(
    [
      "python3",
      "-c",
      `import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.connect(sys.argv[1])
for i in range(5000): s.send(b"STATUS=%d"%i)`,
      path,
    ],
    { stdout: "inherit", stderr: "inherit" },
  );
  await all.promise;
  expect(await writer.exited).toBe(0);
  expect(count).toBe(5000);
  end();
  close(server);
});

test("too long a datagram is marked as cut", () => {
  const path = join(folder(), "socket");
  const server = bindDatagram(path);
  const client = connectDatagram(path);
  send(client, new Uint8Array(100));
  const message = receive(server, new ReceiveBuffer(10));
  expect(message?.truncated).toBe(true);
  expect(message?.data).toHaveLength(10);
  close(server);
  close(client);
});

test("an error names the call, the path and the errno", () => {
  const path = join(folder(), "nobody");
  expect(() => connectDatagram(path)).toThrow(
    `connect ${path}: no such file or directory (ENOENT)`,
  );
  writeFileSync(path, "");
  try {
    bindDatagram(path);
    throw new Error("bind succeeded");
  } catch (error) {
    expect(error).toBeInstanceOf(SystemError);
    expect((error as SystemError).code).toBe("EADDRINUSE");
  }
  expect(() => bindDatagram(`/${"x".repeat(200)}`)).toThrow("1 to 107 bytes");
  expect(() => open("/dev/null\0x", O_RDONLY)).toThrow("NUL");
});
