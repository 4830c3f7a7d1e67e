/** systemd-notify beside systemd's: the same datagrams by the same sender, the same exit status. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  bindDatagram,
  close,
  onReadiness,
  passCredentials,
  ReceiveBuffer,
  receive,
} from "../../lib/linux/index.ts";
import { ours, runToEnd, theirs } from "../loginctl/both.ts";

setDefaultTimeout(60_000);

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean();
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "p7-systemd-notify-"));
  chmodSync(folder, 0o755);
  cleanups.push(() => rmSync(folder, { recursive: true }));
  return folder;
}

interface Datagram {
  text: string;
  pid: number;
  uid: number;
  gid: number;
  fds: number;
}

/**
 * A service manager's socket that notes what comes.
 *
 * @param answers whether it lets barriers through, by closing their descriptors
 */
function listen(answers = true) {
  const path = join(newFolder(), "notify");
  const fd = bindDatagram(path);
  passCredentials(fd);
  chmodSync(path, 0o666);
  const came: Datagram[] = [];
  const kept: number[] = [];
  const buffer = new ReceiveBuffer(8192);
  const drain = () => {
    for (let next = receive(fd, buffer); next; next = receive(fd, buffer)) {
      const { data, fds, credentials } = next;
      const text = Buffer.from(data).toString();
      const { pid = 0, uid = -1, gid = -1 } = credentials ?? {};
      came.push({ text, pid, uid, gid, fds: fds.length });
      for (const passed of fds) answers ? close(passed) : kept.push(passed);
    }
  };
  const end = onReadiness(fd, drain);
  cleanups.push(() => {
    end();
    close(fd);
    for (const passed of kept) close(passed);
  });
  // What an ended sender sent is in the queue, whether or not we were told of it yet.
  const all = () => {
    drain();
    return came;
  };
  return { path, all };
}

/** Runs both with the same words; what came has the sender by its part instead of its number. */
async function both(words: string[], prefix: string[] = []) {
  const outcomes = [];
  for (const command of [ours("systemd-notify"), theirs("systemd-notify")]) {
    const { path, all } = listen();
    const line = [...prefix, ...command, ...words];
    const { pid, ...outcome } = await runToEnd(line, { NOTIFY_SOCKET: path });
    const part = (sender: number) =>
      sender === pid ? "self" : sender === process.pid ? "parent" : sender;
    const replace = (text: string) =>
      text
        .replace(`=${pid}`, "=SELF")
        .replace(`=${process.pid}`, "=PARENT")
        .replace(/MONOTONIC_USEC=\d+/, "MONOTONIC_USEC=N");
    const datagrams = all()
      // systemd's adds a word on its own failure, which tells a service manager nothing of use.
      .filter(({ text }) => !text.startsWith("ERRNO="))
      .map(({ pid: sender, text, ...rest }) => ({
        ...rest,
        text: replace(text),
        sender: part(sender),
      }));
    outcomes.push({ ...outcome, datagrams });
  }
  const [own, systemds] = outcomes;
  if (!own || !systemds) throw new Error("a run is missing");
  return { own, systemds };
}

describe("systemd-notify", () => {
  test("sends what systemd's sends, in the name of the same process and user", async () => {
    for (const words of [
      ...[["--ready"], ["--ready", "--status=a b", "X=1"], ["A=1", "B=2", "--ready"]],
      ...[["--pid", "--ready"], [`--pid=${process.pid}`], ["--pid=parent"], ["--pid=auto"]],
      ...[["--pid=self"], ["--pid=1"], ["--no-block", "A=b"], ["--status", "two\nlines"]],
      ...[
        ["--uid=1", "--ready"],
        ["--uid=nobody", "--ready"],
        ["--uid=4000", "--ready"],
      ],
      ...[["--ready", "--no-b"], ["word"], ["A=1", "--", "--ready"], ["--status=ünïcode 字"]],
    ]) {
      const { own, systemds } = await both(words);
      expect({ words, ...own }).toEqual({ words, ...systemds });
      expect(own.code).toBe(0);
    }
    const { own } = await both(["--ready"]);
    expect(own.datagrams).toEqual([
      { text: "READY=1", sender: "parent", uid: 0, gid: 0, fds: 0 },
      { text: "BARRIER=1", sender: "self", uid: 0, gid: 0, fds: 1 },
    ]);
  });

  test("works as an ordinary user, who may not speak for others", async () => {
    const as = ["setpriv", "--reuid=1", "--regid=1", "--clear-groups"];
    const { own, systemds } = await both(["--ready"], as);
    expect(own).toEqual(systemds);
    expect(own.datagrams[0]).toMatchObject({ uid: 1, sender: "self" });
    const other = await both(["--ready", "--uid=2"], as);
    expect([other.own.code, other.own.datagrams]).toEqual([
      other.systemds.code,
      other.systemds.datagrams,
    ]);
    expect(other.own.stderr).toContain("Operation not permitted");
  });

  test("refuses wrong words with the same line and exit status", async () => {
    for (const words of [["--pid=x"], ["--uid=nosuch", "--ready"], ["--bogus"], ["--ready=1"]]) {
      const { own, systemds } = await both(words);
      expect({ words, ...own }).toEqual({ words, ...systemds });
      expect(own).toMatchObject({ code: 1, datagrams: [] });
    }
    const { own, systemds } = await both([]);
    expect([own.code, own.datagrams]).toEqual([systemds.code, systemds.datagrams]);
    expect(own.stdout).toContain("--ready");
  });

  test("refuses a socket that is not there or none, with the same line", async () => {
    for (const socket of ["", "/nonexistent/notify", "@nobody-listens", "relative", undefined]) {
      const outcomes = [];
      for (const command of [ours("systemd-notify"), theirs("systemd-notify")]) {
        const given = socket === undefined ? "-uNOTIFY_SOCKET" : `NOTIFY_SOCKET=${socket}`;
        const { code, stdout, stderr } = await runToEnd(["env", given, ...command, "--ready"]);
        outcomes.push({
          socket,
          code,
          stdout,
          failed: /Failed to notify|was not set/.test(stderr),
        });
      }
      expect(outcomes[0]).toEqual(outcomes[1]);
      expect(outcomes[0]).toMatchObject({ code: 1, failed: true });
    }
  });

  test("says whether the system looks as systemd's do, without a word", async () => {
    const { own, systemds } = await both(["--booted"]);
    expect(own).toEqual(systemds);
    expect(own).toMatchObject({ stdout: "", stderr: "", datagrams: [] });
    expect((await both(["--status=x", "--booted"])).own.datagrams).toEqual([]);
  });

  test("waits until what it said is handled, and says so if that does not come", async () => {
    const silent = listen(false);
    const start = runToEnd([...ours("systemd-notify"), "--ready"], {
      NOTIFY_SOCKET: silent.path,
    });
    const { code, stderr } = await start;
    expect(code).toBe(1);
    expect(stderr).toBe("Failed to invoke barrier: Connection timed out\n");
    expect(silent.all().map(({ text }) => text)).toEqual(["READY=1", "BARRIER=1"]);
    const hasty = await runToEnd([...ours("systemd-notify"), "--ready", "--no-block"], {
      NOTIFY_SOCKET: silent.path,
    });
    expect(hasty.code).toBe(0);
  });

  test("tells of reloading and stopping, in the order in which newer ones do", async () => {
    const { path, all } = listen();
    const words = ["--stopping", "--reloading", "--ready", "--no-block"];
    const done = await runToEnd([...ours("systemd-notify"), ...words], { NOTIFY_SOCKET: path });
    expect(done.code).toBe(0);
    expect(all()[0]?.text).toMatch(/^RELOADING=1\nMONOTONIC_USEC=\d+\nREADY=1\nSTOPPING=1$/);
  });

  test("hands descriptors over to be kept, and only those that it was given", async () => {
    const { path, all } = listen();
    const file = join(newFolder(), "file");
    writeFileSync(file, "kept\n");
    const shell = ["sh", "-c", 'exec "$@" 7<"$0"', file, ...ours("systemd-notify"), "--no-block"];
    const run = (...words: string[]) => runToEnd([...shell, ...words], { NOTIFY_SOCKET: path });
    expect((await run("--fd=7", "--fd=0", "--fdname=state", "A=1")).code).toBe(0);
    expect(all()).toEqual([
      expect.objectContaining({ text: "FDSTORE=1\nFDNAME=state\nA=1", fds: 2 }),
    ]);
    for (const [words, message] of [
      [["--fd=9"], "'9' not passed"],
      [["--fd=7", "--fd=7"], "'7' not passed or specified more than once"],
      [["--fd=x"], "Failed to parse file descriptor: x"],
      [["--fd=3"], "'3' not passed"],
      [["--fdname=a", "A=1"], "No file descriptors passed"],
      [["--fd=7", "--fdname=a:b"], "name invalid: a:b"],
    ] as const) {
      const done = await run(...words);
      expect({ words, code: done.code, stdout: done.stdout }).toEqual({
        words,
        code: 1,
        stdout: "",
      });
      expect(done.stderr).toContain(message);
    }
    expect(all()).toHaveLength(1);
  });

  test("becomes the command of --exec, with nothing of Bun's left", async () => {
    const { path, all } = listen();
    const limited = ["sh", "-c", 'ulimit -Sn 321; "$@"; exit', "sh", ...ours("systemd-notify")];
    const report =
      "ulimit -Sn; grep -E '^Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd; exit 5";
    const words = ["--exec", "--ready", "A=1", ";", "sh", "-c", report];
    const done = await runToEnd([...limited, ...words], { NOTIFY_SOCKET: path });
    expect(done).toMatchObject({ code: 5, stderr: "" });
    // The last one is the folder that ls(1) reads.
    expect(done.stdout).toMatch(/^321\n(Sig\w+:\t0+\n){2}0\n1\n2\n3\n$/);
    expect(all().map(({ text }) => text)).toEqual(["READY=1\nA=1", "BARRIER=1"]);
    for (const [wrong, message] of [
      [["--exec", "A=1"], "must contain ';'"],
      [["--exec", "A=1", ";"], "Empty command line"],
      [["--exec", ";", "true"], "No notify message"],
      [["--exec", "A=1", ";", "/nonexistent/program"], "/nonexistent/program"],
    ] as const) {
      const failed = await runToEnd([...ours("systemd-notify"), ...wrong], { NOTIFY_SOCKET: path });
      expect({ wrong, code: failed.code }).toEqual({ wrong, code: 1 });
      expect(failed.stderr).toContain(message);
    }
  });

  test("is understood by lainos-notifyd", async () => {
    const folder = newFolder();
    const socket = join(folder, "notify");
    const daemon = Bun.spawn(
      ["bun", join(import.meta.dir, "../../cmd/notifyd.ts"), "--socket", socket, "--verbose"],
      { stderr: "pipe" },
    );
    cleanups.push(() => daemon.kill("SIGKILL"));
    const reader = daemon.stderr.getReader();
    let log = "";
    const logged = async (text: string) => {
      while (!log.includes(text)) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`it ended:\n${log}`);
        log += Buffer.from(value).toString();
      }
    };
    await logged("receiving at");
    const done = await runToEnd([...ours("systemd-notify"), "--ready", "--status=up"], {
      NOTIFY_SOCKET: socket,
    });
    expect(done).toMatchObject({ code: 0, stdout: "", stderr: "" });
    await logged(`pid ${process.pid} uid 0`);
    await logged("READY=1 STATUS=up");
    await logged("BARRIER=1");
    daemon.kill("SIGTERM");
    expect(await daemon.exited).toBe(0);
  });

  test("helps, and says its version", async () => {
    const help = await runToEnd([...ours("systemd-notify"), "--help", "--bogus"]);
    expect(help.code).toBe(0);
    const theirHelp = (await runToEnd([...theirs("systemd-notify"), "--help"])).stdout;
    for (const [option] of theirHelp.matchAll(/(?<=\s)--[a-z-]+/g)) {
      expect(help.stdout).toContain(option);
    }
    const version = await runToEnd([...ours("systemd-notify"), "--version"]);
    expect(version.stdout).toMatch(/^systemd-notify \d+\.\d+\.\d+\n$/);
  });
});
