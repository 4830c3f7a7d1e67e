import { afterEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  atRealtime,
  bindDatagram,
  close,
  connectDatagram,
  IN_CREATE,
  IN_MOVED_TO,
  majorMinor,
  makeFifo,
  now,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  onceReadable,
  onReadiness,
  open,
  openPidfd,
  Patience,
  passCredentials,
  pidOfPidfd,
  processStatus,
  ReceiveBuffer,
  type Received,
  readSome,
  receive,
  SystemError,
  send,
  socketPair,
  userById,
  userByName,
  watchPath,
  watchProcess,
  writeFileAtomically,
} from "../../lib/linux/index.ts";

const folders: string[] = [];
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-linux-"));
  folders.push(path);
  return path;
}
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true });
});

/** How many descriptors of ours are open on what `fd` is open on: a path, or one socket. */
function openOn(target: string): number {
  return [...new Bun.Glob("*").scanSync({ cwd: "/proc/self/fd", onlyFiles: false })].filter(
    (fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === target;
      } catch {
        return false; // the one that lists the folder
      }
    },
  ).length;
}

describe("sockets", () => {
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

  test("who waits for one does not keep the event loop from what it waits for", async () => {
    const LONG = 20_000;
    const [left, right] = socketPair();
    const patience = new Patience(left);
    const fired = Promise.withResolvers<void>();
    atRealtime(now().realtime + 100_000n, () => fired.resolve());
    const start = performance.now();
    patience.begin(LONG);
    expect(patience.await()).toBe(false);
    expect(performance.now() - start).toBeLessThan(LONG / 2);
    await fired.promise;
    // Nothing is left of it that would end the next wait.
    patience.begin(50);
    expect(patience.await()).toBe(false);
    // The hundred began a moment before `start`.
    expect(performance.now() - start).toBeGreaterThan(140);
    patience.close();
    for (const fd of [left, right]) close(fd);
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
});

describe("readiness", () => {
  test("a pidfd tells once when its process ends", async () => {
    const child = Bun.spawn(["sleep", "0.2"]);
    const started = performance.now();
    const gone = Promise.withResolvers<void>();
    const end = watchProcess(child.pid, () => gone.resolve());
    await gone.promise;
    expect(performance.now() - started).toBeGreaterThan(150);
    end();
    expect(() => openPidfd(2 ** 22 + 1)).toThrow(SystemError);
  });

  test("a pidfd names its process", async () => {
    const child = Bun.spawn(["sleep", "5"]);
    const pidfd = openPidfd(child.pid);
    expect(pidOfPidfd(pidfd)).toBe(child.pid);
    child.kill();
    await child.exited;
    expect(pidOfPidfd(pidfd)).toBe(-1);
    close(pidfd);
    expect(() => pidOfPidfd(0)).toThrow("not a pidfd");
  });

  test("a fifo tells when its last writer is gone", async () => {
    const path = join(folder(), "fifo");
    makeFifo(path, 0o600);
    const reader = open(path, O_RDONLY | O_NONBLOCK);
    const writer = open(path, O_WRONLY);
    const ended = Promise.withResolvers<void>();
    const end = onReadiness(reader, () => {
      if (readSome(reader)?.length === 0) ended.resolve();
    });
    await Bun.sleep(20);
    close(writer);
    await ended.promise;
    end();
    close(reader);
    expect(openOn(path)).toBe(0);
  });

  test("an ended watch stays silent and keeps no descriptor", async () => {
    const [left, right] = socketPair();
    const socket = readlinkSync(`/proc/self/fd/${left}`);
    let calls = 0;
    const end = onceReadable(left, () => calls++);
    end();
    send(right, Buffer.from("x"));
    await Bun.sleep(30);
    expect(calls).toBe(0);
    expect(openOn(socket)).toBe(1);
    close(left);
    close(right);
  });
});

describe("files", () => {
  test("an atomic write is one IN_MOVED_TO, with the mode asked for", async () => {
    const where = folder();
    const names: string[] = [];
    const seen = Promise.withResolvers<void>();
    const end = watchPath(where, IN_MOVED_TO, (event) => {
      names.push(event.name);
      seen.resolve();
    });
    writeFileAtomically(join(where, "c1"), "UID=1000\n", 0o640);
    await seen.promise;
    end();
    expect(names).toEqual(["c1"]);
    expect(readFileSync(join(where, "c1"), "utf8")).toBe("UID=1000\n");
    expect(statSync(join(where, "c1")).mode & 0o777).toBe(0o640);
  });

  test("more paths than the kernel gives instances can be watched, each told of its own", async () => {
    const where = folder();
    const count = Number(readFileSync("/proc/sys/fs/inotify/max_user_instances", "utf8")) + 20;
    const told: string[] = [];
    const all = Promise.withResolvers<void>();
    const ends = Array.from({ length: count }, (_, index) => {
      mkdirSync(join(where, `${index}`));
      return watchPath(join(where, `${index}`), IN_MOVED_TO, ({ name }) => {
        told.push(`${index}/${name}`);
        if (told.length === 2) all.resolve();
      });
    });
    ends[1]?.();
    for (const index of [0, 1, count - 1]) writeFileAtomically(join(where, `${index}/x`), "");
    await all.promise;
    for (const end of ends) end();
    expect(told.sort()).toEqual(["0/x", `${count - 1}/x`].sort());
  });

  test("two watch one path, and the end of one leaves the other", async () => {
    const where = folder();
    const told: string[] = [];
    const seen = Promise.withResolvers<void>();
    const first = watchPath(where, IN_CREATE, () => told.push("first"));
    const second = watchPath(where, IN_MOVED_TO, () => {
      told.push("second");
      seen.resolve();
    });
    first();
    writeFileAtomically(join(where, "x"), "");
    await seen.promise;
    second();
    expect(told).toEqual(["second"]);
  });

  test("a failed write leaves nothing behind", () => {
    const where = join(folder(), "missing");
    expect(() => writeFileAtomically(join(where, "c1"), "x")).toThrow("ENOENT");
    expect(existsSync(where)).toBe(false);
  });
});

describe("users and processes", () => {
  test("users come from NSS", () => {
    expect(userById(0)).toEqual({
      name: "root",
      uid: 0,
      gid: 0,
      home: "/root",
      shell: "/bin/bash",
    });
    expect(userByName("root")?.uid).toBe(0);
    expect(userByName("no-such-user")).toBeUndefined();
    expect(userById(4000000000)).toBeUndefined();
  });

  test("a process that renamed itself oddly is read right", async () => {
    const child = Bun.spawn([
      "python3",
      "-c",
      "import time; open('/proc/self/comm','w').write('a) (b 1'); print(1, flush=True); time.sleep(5)",
    ]);
    await child.stdout.getReader().read();
    const status = processStatus(child.pid);
    expect(status?.command).toBe("a) (b 1");
    expect(status?.parent).toBe(process.pid);
    expect(status?.startTime).toBeGreaterThan(0n);
    child.kill();
    await child.exited;
    expect(processStatus(child.pid)).toBeUndefined();
  });
});

test("a device number comes out of a dev_t as makedev(3) put it in", () => {
  expect(majorMinor(0x103)).toBe("1:3");
  expect(majorMinor(0xe280)).toBe("226:128");
  expect(majorMinor(0xd40)).toBe("13:64");
  expect(majorMinor(0x1d4c)).toBe("29:76");
  // 240:300 and 4095:1048575
  expect(majorMinor(0x10f02c)).toBe("240:300");
  expect(majorMinor(0xfff_fffff - 0)).toBe("4095:1048575");
});
