import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { bindDatagram, close, listenStream } from "../../lib/linux/index.ts";
import {
  allGivenBack,
  COMMAND,
  cleanUp,
  descriptorsOf,
  later,
  newFolder,
  python,
  start,
} from "./support/world.ts";

// Each test starts several processes, which takes its time on a busy machine.
setDefaultTimeout(30_000);

afterEach(cleanUp);

/** How much of its executable a process has mapped, in bytes. */
function mappedOf(pid: number): number {
  const path = readlinkSync(`/proc/${pid}/exe`);
  const mappings = readFileSync(`/proc/${pid}/smaps`, "latin1").split(/^(?=[0-9a-f]+-)/m);
  const ours = mappings.filter((text) => text.slice(0, text.indexOf("\n")).endsWith(` ${path}`));
  const sizes = ours.map((text) => Number(/^Rss: +(\d+) kB$/m.exec(text)?.[1]));
  return sizes.reduce((sum, size) => sum + size, 0) * 1024;
}

describe("lainos-notifyd", () => {
  test("the real systemd-notify is understood, and its barrier answered", async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket, "--verbose");
    const client = Bun.spawnSync(["systemd-notify", "--ready", "--status=up and running"], {
      env: { ...process.env, NOTIFY_SOCKET: socket },
      timeout: 10_000,
    });
    // sd_notify_barrier(3) waits 5 s for a receiver that does not close its descriptor, and fails then.
    expect({ code: client.exitCode, said: client.stderr.toString() }).toEqual({
      code: 0,
      said: "",
    });
    await daemon.logged("READY=1 STATUS=up and running");
    // It speaks for whoever started it, and so does its barrier.
    await daemon.logged(new RegExp(`pid ${process.pid} uid 0 \\(.*\\): BARRIER=1`));
    expect(lstatSync(socket).mode & 0o7777).toBe(0o666);
    expect(await daemon.stop()).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });

  test("what only its start needed is mapped no more, and it goes on", async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket, "--verbose");
    await daemon.logged(/\d\d MB of the executable are mapped no more/);
    expect(mappedOf(daemon.child.pid)).toBeLessThan(24 * 2 ** 20);
    await python(socket, "send(b'STATUS=still here')");
    await daemon.logged("STATUS=still here");
    expect(await daemon.stop()).toBe(0);
  });

  test("any user may write, and is named as the kernel knows it", async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    const { pid } = await python(
      socket,
      `open("/proc/self/comm", "w").write("evil\\x1b[2J")
send(b"STATUS=of \\x1b[31mred\\rlies")
r, w = os.pipe()
send(b"BARRIER=1", [w])
os.close(w)
select.select([r], [], [])`,
      ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
    );
    await daemon.logged(`pid ${pid} uid 65534 (evil\\x1b[2J): STATUS=of \\x1b[31mred\\x0dlies`);
    expect(await daemon.stop("SIGINT")).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });

  test("a barrier is answered after all that was said before it", async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    const { out } = await python(
      socket,
      `for i in range(50): send(b"STATUS=line %d." % i)
r, w = os.pipe()
send(b"BARRIER=1", [w])
os.close(w)
print(len(select.select([r], [], [], 20)[0]), os.read(r, 1))
send(b"STATUS=after")`,
    );
    expect(out).toBe("1 b''");
    await daemon.logged("STATUS=after");
    const lines = daemon
      .text()
      .split("\n")
      .filter((line) => line.includes("STATUS="));
    expect(lines.map((line) => line.replace(/.*STATUS=/, ""))).toEqual([
      ...Array.from({ length: 50 }, (_, index) => `line ${index}.`),
      "after",
    ]);
  });

  test("descriptors are closed, whatever they came with", async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    const before = descriptorsOf(daemon.child.pid);
    const { out } = await python(
      socket,
      `r, w = os.pipe()
send(b"FDSTORE=1\\nFDNAME=x", [w, w, w])
send(b"BARRIER=1", [w, w])
send(b"BARRIER=1\\nREADY=1", [w])
send(b"no assignment", [w])
send(b"READY=1\\0STATUS=x", [w])
send(b"STATUS=" + b"x" * 5000, [w])
send(b"STATUS=many", [w] * 253)
send(b"STATUS=last")
os.close(w)
print(os.read(r, 1))`,
    );
    expect(out).toBe("b''");
    await daemon.logged("STATUS=last");
    await allGivenBack(daemon.child.pid, before);
    const text = daemon.text();
    expect(text).toContain("FDSTORE=1 FDNAME=x (no descriptor is kept for what is no service)");
    expect(text).toContain("dropped a datagram that has more in it than the BARRIER=1");
    expect(text).toContain(
      'that has nothing in it but a line that is not NAME=VALUE: "no assignment"',
    );
    expect(text).toContain('that has a NUL byte in it: "READY=1\\x00STATUS=x"');
    expect(text).toContain("that is longer than 4096 bytes");
    expect(text).toContain(
      "STATUS=many (ignored file descriptors, which are taken from services only)",
    );
    for (const line of text.split("\n")) expect(line.length).toBeLessThan(700);
  });

  test("it lives through random bytes of every length", async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    await python(
      socket,
      `import random
random.seed(7)
for i in range(2000): send(random.randbytes(random.choice([0, 1, 2, 17, 4095, 4096, 4097, 9000])))
for c in range(256): send(bytes([c]))
send(b"")`,
    );
    await python(socket, `send(b"STATUS=still here")`);
    await daemon.logged("STATUS=still here");
    expect(await daemon.stop()).toBe(0);
    // Not one raw control character but the tab reached the log.
    expect(/\p{Cc}/u.test(daemon.text().replace(/[\n\t]/g, ""))).toBe(false);
  });

  test("a flood is cut off with one line, and others are heard meanwhile", async () => {
    const socket = join(newFolder(), "notify");
    // Barriers are logged too, so that each datagram is a line or is counted.
    const daemon = await start(socket, "--verbose");
    const flood = python(
      socket,
      'for i in range(20000): send(b"STATUS=flood %d" % i)\nprint(barrier())',
    );
    const other = python(
      socket,
      `for i in range(20):
    send(b"STATUS=other %d." % i)
    time.sleep(0.01)`,
    );
    const [{ out, pid }] = await Promise.all([flood, other]);
    expect(out).toBe("1");
    await daemon.logged("STATUS=other 19.");
    expect(await daemon.stop()).toBe(0);
    const lines = daemon.text().split("\n");
    expect(lines.filter((line) => line.includes("STATUS=other"))).toHaveLength(20);
    const heard = lines.filter((line) =>
      new RegExp(`pid ${pid} uid 0 .*: (STATUS=flood|BARRIER=1)`).test(line),
    ).length;
    const told = lines
      .map((line) => new RegExp(`pid ${pid} uid 0: (\\d+) more datagrams`).exec(line)?.[1])
      .filter((count) => count !== undefined)
      .map(Number);
    expect(heard).toBeGreaterThanOrEqual(100);
    // All of it is accounted for, the barrier among it.
    expect(heard + told.reduce((sum, count) => sum + count, 0)).toBe(20_001);
    expect(told.length).toBeLessThanOrEqual(Math.ceil(heard / 100));
  });

  test("a flood does not keep SIGTERM out", async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    const flooder = Bun.spawn([
      "/usr/bin/python3",
      "-c",
      `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(sys.argv[1])
print("on", flush=True)
try:
    while True: s.send(b"STATUS=again")
except OSError: pass`,
      socket,
    ]);
    await flooder.stdout.getReader().read();
    expect(await daemon.stop()).toBe(0);
    expect(await flooder.exited).toBe(0);
  });
});

describe("the socket's place", () => {
  const attempt = (...args: string[]) => {
    const child = Bun.spawnSync(["bun", COMMAND, ...args], { timeout: 10_000 });
    return { status: child.exitCode, errors: child.stderr.toString() };
  };

  test("the socket of a killed predecessor is replaced", async () => {
    const socket = join(newFolder(), "notify");
    const first = await start(socket);
    await first.stop("SIGKILL");
    expect(lstatSync(socket).isSocket()).toBe(true);
    const second = await start(socket);
    await python(socket, `send(b"STATUS=to the second")`);
    await second.logged("STATUS=to the second");
    expect(await second.stop()).toBe(0);
  });

  test("a running one is not robbed", async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    const second = attempt("--socket", socket);
    expect(second.status).toBe(1);
    expect(second.errors).toContain("already running");
    await python(socket, `send(b"STATUS=to the first")`);
    await daemon.logged("STATUS=to the first");
  });

  test("nor is anybody else's, and nothing but a dead socket is removed", () => {
    const folder = newFolder();
    const socket = join(folder, "notify");
    const foreign = bindDatagram(socket);
    expect(attempt("--socket", socket)).toMatchObject({ status: 1 });
    expect(attempt("--socket", socket).errors).toContain("already running: somebody else");
    close(foreign);
    rmSync(socket);

    const stream = listenStream(socket);
    expect(attempt("--socket", socket).errors).toContain("socket of another kind");
    close(stream);
    rmSync(socket);

    mkdirSync(socket);
    expect(attempt("--socket", socket).errors).toContain("in the way");
    expect(lstatSync(socket).isDirectory()).toBe(true);
    rmSync(socket, { recursive: true });

    writeFileSync(socket, "");
    const file = attempt("--socket", socket);
    expect(file.status).toBe(1);
    expect(file.errors.trim().split("\n")).toHaveLength(1);
    expect(existsSync(socket)).toBe(true);
  });

  test("of many that start at once, one runs", async () => {
    const socket = join(newFolder(), "notify");
    close(bindDatagram(socket));
    const rivals = Array.from({ length: 6 }, () => {
      const child = Bun.spawn(["bun", COMMAND, "--socket", socket], { stderr: "pipe" });
      later(async () => {
        child.kill("SIGKILL");
        await child.exited;
      });
      return child;
    });
    // Each either ends as a loser or says that it receives.
    const won = await Promise.all(
      rivals.map(async (child) => {
        const { value } = await child.stderr.getReader().read();
        return Buffer.from(value ?? []).includes("receiving at");
      }),
    );
    expect(won.filter(Boolean)).toHaveLength(1);
    await python(socket, `send(b"READY=1")`);
  });

  test("a missing folder is named with its mend", () => {
    const result = attempt("--socket", join(newFolder(), "none/notify"));
    expect(result.status).toBe(1);
    expect(result.errors).toContain("run lainos-ghost-units first");
  });

  test("a socket that is no longer ours is left at the end", async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    rmSync(socket);
    close(bindDatagram(socket));
    expect(await daemon.stop()).toBe(0);
    expect(existsSync(socket)).toBe(true);
  });
});

describe("--ready-fd", () => {
  test("one newline comes when a datagram can be sent, and then the end", async () => {
    const socket = join(newFolder(), "notify");
    const child = Bun.spawn(
      [
        "/usr/bin/python3",
        "-c",
        `import os, signal, socket, subprocess, sys
r, w = os.pipe()
child = subprocess.Popen(["bun", sys.argv[2], "--socket", sys.argv[1], "--ready-fd", str(w)], pass_fds=[w], stderr=subprocess.DEVNULL)
os.close(w)
got = os.read(r, 10)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
print(got, os.read(r, 10))
child.send_signal(signal.SIGTERM)
print(child.wait())`,
        socket,
        COMMAND,
      ],
      { stdout: "pipe", stderr: "inherit" },
    );
    expect((await child.stdout.text()).trim()).toBe("b'\\n' b''\n0");
    expect(await child.exited).toBe(0);
  });

  test("a wrong descriptor is refused before anything is made", () => {
    const socket = join(newFolder(), "notify");
    const status = (value: string) =>
      Bun.spawnSync(["bun", COMMAND, "--socket", socket, "--ready-fd", value]).exitCode;
    expect(status("x")).toBe(2);
    expect(status("1")).toBe(2);
    expect(status("199")).toBe(1);
    expect(existsSync(socket)).toBe(false);
  });
});
