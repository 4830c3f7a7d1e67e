/** systemd-notify beside systemd's: the same datagrams by the same sender, the same exit status. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import {
  bindDatagram,
  close,
  onReadiness,
  passCredentials,
  pidfdInodeOf,
  ReceiveBuffer,
  receive,
} from "../../../lib/linux/index.ts";
import { ours, runToEnd, theirs } from "../../loginctl/both.ts";
import { cleanUp, start } from "../support/world.ts";

setDefaultTimeout(60_000);

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "p7-systemd-notify-"));
  chmodSync(folder, 0o755);
  cleanups.push(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A program of this text: without an interpreter in its first line it is a script of sh(1). */
function programOf(text: string): string {
  const path = join(newFolder(), "program");
  writeFileSync(path, `${text}\n`, { mode: 0o755 });
  return path;
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
        .replace(/(MONOTONIC_USEC|MAINPIDFDID)=\d+/, "$1=N");
    const datagrams = all().map(({ pid: sender, text, ...rest }) => ({
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
      ...[["--pid=07"], ["--pid= 1"], ["--reloading"], ["-q", "A=1"], ["--fd=0", "--fd=0x1"]],
      ...[["--stopping", "--reloading", "--ready", "--status=", "--fd=0", "--fdname="]],
      // A name counts once.
      ...[
        ["--ready", "--status=x", "READY=0", "B=1", "STATUS=y", "B=2"],
        ["A", "A=1"],
        ["A=1", "AB=2", "A"],
        ["=x", "=y", "B", "B"],
        ["", "A=1"],
        ["--pid=self", "MAINPID=3"],
      ],
    ]) {
      const { own, systemds } = await both(words);
      expect({ words, ...own }).toEqual({ words, ...systemds });
      expect(own.code).toBe(0);
    }
    const { own } = await both(["--ready"]);
    expect(own.datagrams).toEqual([
      { text: "READY=1", sender: "parent", uid: 0, gid: 0, fds: 0 },
      { text: "BARRIER=1", sender: "parent", uid: 0, gid: 0, fds: 1 },
    ]);
  });

  test("works as an ordinary user, who may not speak for others", async () => {
    const as = ["setpriv", "--reuid=1", "--regid=1", "--clear-groups"];
    const { own, systemds } = await both(["--ready"], as);
    expect(own).toEqual(systemds);
    expect(own.datagrams[0]).toMatchObject({ uid: 1, sender: "self" });
    for (const other of ["2", "4000"]) {
      const refused = await both(["--ready", `--uid=${other}`], as);
      expect(refused.own).toEqual(refused.systemds);
      expect(refused.own.stderr).toContain("Operation not permitted");
    }
  });

  test("does not speak for a user's service manager, which started it", async () => {
    const inode = pidfdInodeOf(process.pid);
    for (const variables of [
      ...[[`MANAGERPID=${process.pid}`], ["MANAGERPID=x"], ["MANAGERPID="], ["MANAGERPID=1"]],
      ...[`${inode ?? 0}`, "77", "x"].map((id) => [
        ...[`MANAGERPID=${process.pid}`, `MANAGERPIDFDID=${id}`],
      ]),
    ]) {
      const { own, systemds } = await both(["--ready"], ["env", ...variables]);
      expect({ variables, ...own }).toEqual({ variables, ...systemds });
    }
  });

  test("refuses wrong words with the same line and exit status", async () => {
    for (const words of [
      ...[[], ["--pid=x"], ["--pid=0"], ["--pid=-1"], ["--pid=99999999"], ["--pid=99999999999"]],
      ...[["--uid=nosuch", "--ready"], ["--uid=", "A=1"], ["--uid=4294967295", "A=1"], ["--uid=1"]],
      ...[["--bogus"], ["--ready=1"], ["--st"], ["-x"], ["--fd"], ["--quiet"], ["--no-block"]],
      ...[["--fd=9"], ["--fd=x"], ["--fd="], ["--fd=-1"], ["--fd=99999999999"]],
      ...[["--fdname=a", "A=1"], ["--fdname=a:b"], ["--booted", "A=1"], ["--booted", "--ready"]],
      ...[["--exec"], ["--exec", "A=1"], ["--exec", "A=1", ";"], ["--exec", ";", "true"]],
      ...[["--exec", "A=1", ";", "sh", "-c", "true"]],
      ...[["--fork"], ["--fork", "--ready"], ["--booted", "--fork"], ["--fork", "--fd=0", "true"]],
      ...[
        ["--fork", "--status=x", "true"],
        ["--fork", "--booted", "true"],
      ],
    ]) {
      const { own, systemds } = await both(words);
      expect({ words, ...own }).toEqual({ words, ...systemds });
      expect(own).toMatchObject({ code: 1, stdout: "" });
      // A service manager hears of it, as of the end of all commands of systemd's.
      expect(own.datagrams.map(({ text }) => text)).toEqual([
        ...[expect.stringMatching(/^ERRNO=\d+$/), "EXIT_STATUS=1"],
      ]);
    }
  });

  test("says what is wrong in systemd's colours", async () => {
    for (const colours of ["1", "16", "24bit", "0"]) {
      const prefix = ["env", `SYSTEMD_COLORS=${colours}`, "MANAGERPID=x"];
      for (const words of [["--bogus"], [], ["--fd=x"], ["--ready"]]) {
        const { own, systemds } = await both(words, prefix);
        expect({ colours, words, own }).toEqual({ colours, words, own: systemds });
      }
    }
  });

  test("refuses a socket that is not there or none, with the same line", async () => {
    for (const socket of [
      ...["", "/nonexistent/notify", "@nobody-listens", "relative", "vsock:2:1234", "/", undefined],
    ]) {
      const outcomes = [];
      for (const command of [ours("systemd-notify"), theirs("systemd-notify")]) {
        const given = socket === undefined ? "-uNOTIFY_SOCKET" : `NOTIFY_SOCKET=${socket}`;
        const { pid, ...outcome } = await runToEnd(["env", given, ...command, "--ready"]);
        outcomes.push({ socket, ...outcome });
      }
      expect(outcomes[0]).toEqual(outcomes[1]);
      expect(outcomes[0]?.code).toBe(1);
    }
  });

  test("says whether the system looks as systemd's do, without a word", async () => {
    const { own, systemds } = await both(["--booted"]);
    expect(own).toEqual(systemds);
    expect(own).toMatchObject({ stdout: "", stderr: "" });
    expect(own.datagrams.map(({ text }) => text)).toEqual([`EXIT_STATUS=${own.code}`]);
  });

  test("waits until what it said is handled, and says so if that does not come", async () => {
    const silent = listen(false);
    const start = runToEnd([...ours("systemd-notify"), "--ready"], {
      NOTIFY_SOCKET: silent.path,
    });
    const { code, stderr } = await start;
    expect(code).toBe(1);
    expect(stderr).toBe("Failed to invoke barrier: Connection timed out\n");
    expect(silent.all().map(({ text }) => text)).toEqual([
      ...["READY=1", "BARRIER=1", `ERRNO=${constants.errno.ETIMEDOUT}`, "EXIT_STATUS=1"],
    ]);
    const hasty = await runToEnd([...ours("systemd-notify"), "--ready", "--no-block"], {
      NOTIFY_SOCKET: silent.path,
    });
    expect(hasty.code).toBe(0);
  });

  test("hands descriptors over to be kept, and only those that it was given", async () => {
    const { path, all } = listen();
    const file = join(newFolder(), "file");
    writeFileSync(file, "kept\n");
    const shell = ["sh", "-c", 'exec "$@" 7<"$0"', file, ...ours("systemd-notify"), "--no-block"];
    const run = (...words: string[]) => runToEnd([...shell, ...words], { NOTIFY_SOCKET: path });
    expect((await run("--fd=7", "--fd=0", "--fdname=state", "A=1")).code).toBe(0);
    expect(all().splice(0)).toEqual([
      expect.objectContaining({ text: "FDSTORE=1\nFDNAME=state\nA=1", fds: 2 }),
    ]);
    for (const [words, message] of [
      [["--fd=7", "--fd=7"], "'7' not passed or specified more than once"],
      [["--fd=3"], "'3' not passed"],
    ] as const) {
      const done = await run(...words);
      expect({ words, code: done.code, stdout: done.stdout }).toEqual({
        words,
        code: 1,
        stdout: "",
      });
      expect(done.stderr).toContain(message);
    }
    expect(all().every(({ fds }) => fds === 0)).toBe(true);
  });

  test("becomes the command of --exec, with nothing of Bun's left", async () => {
    const { path, all } = listen();
    const limited = ["sh", "-c", 'ulimit -Sn 321; "$@"; exit', "sh", ...ours("systemd-notify")];
    const report =
      "ulimit -Sn; grep -E '^Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd; exit 5";
    const words = ["--exec", "--ready", "A=1", ";", "--", "sh", "-c", report];
    const done = await runToEnd([...limited, ...words], { NOTIFY_SOCKET: path });
    expect(done).toMatchObject({ code: 5, stderr: "" });
    // The last one is the folder that ls(1) reads.
    expect(done.stdout).toMatch(/^321\n(Sig\w+:\t0+\n){2}0\n1\n2\n3\n$/);
    expect(all().map(({ text }) => text)).toEqual(["READY=1\nA=1", "BARRIER=1"]);
    for (const more of [
      ...[
        ["A=1", ";", "echo", "--", "a  b", "--help"],
        ["A=1", ";", "/nonexistent/program", "x"],
      ],
      ...[
        ["--uid=1", "A=1", ";", "nosuch"],
        ["--ready", ";", "--", "sh", "-c", "kill -9 $$"],
      ],
      ...[
        ["A=1", "--", ";", "echo", "-h"],
        ["A=1", ";", "/etc/passwd"],
        ["A=1", ";", "/etc"],
      ],
      ["A=1", ";", programOf("echo $0 $1; exit 6"), "x"],
      ["A=1", ";", programOf("#!/nonexistent/interpreter")],
    ]) {
      const { own, systemds } = await both(["--exec", ...more]);
      expect({ more, ...own }).toEqual({ more, ...systemds });
    }
  });

  test("has the command of --exec inherit what it was handed, unless something was kept", async () => {
    const handed = ["sh", "-c", 'exec "$@" 7<"$0" 9</dev/null', "/etc/passwd"];
    const look = "for fd in 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$fd && echo $fd; done; true";
    for (const [words, left] of [
      [[], "7\n9\n"],
      [["--fd=0"], ""],
      [["--fd=7", "--fd=9"], ""],
    ] as const) {
      const line = ["--exec", "A=1", ...words, ";", "--", "sh", "-c", look];
      const { own, systemds } = await both(line, handed);
      expect({ words, ...own }).toEqual({ words, ...systemds });
      expect({ words, left: own.stdout }).toEqual({ words, left });
    }
  });

  describe("--fork", () => {
    /** Says READY=1 in the name of the shell that starts it, and does not wait for an answer. */
    const ready = `${theirs("systemd-notify").join(" ")} --no-block --ready`;
    /** Runs both; the pid that is printed has its name instead. */
    async function forkBoth(words: string[]) {
      const { own, systemds } = await both(["--fork", ...words]);
      const named = ({ stdout, ...rest }: typeof own) => ({
        ...rest,
        stdout: stdout.replace(/^\d+\n$/, "PID\n"),
      });
      expect({ words, ...named(own) }).toEqual({ words, ...named(systemds) });
      return own;
    }

    test("waits until a command is ready, which goes on running, or has ended", async () => {
      for (const [words, code] of [
        [["--", "sh", "-c", `sleep 0.3; ${ready}; exec sleep 2 2>/dev/null`], 0],
        [["-q", "--", "sh", "-c", `${ready}; exec sleep 2 2>/dev/null`], 0],
        [["--", "sh", "-c", "exit 0"], 0],
        [["false"], 1],
        [["--quiet", "--", "sh", "-c", "echo out; sleep 0.3; exit 3"], 3],
        [["--", "sh", "-c", "kill -KILL $$"], 1],
        [["--exec", "--", "sh", "-c", "exit 4"], 4],
        [["--", "sh", "-c", `${ready}; exit 5`], 0],
        [[programOf("exit $1"), "6"], 6],
      ] as const) {
        const own = await forkBoth([...words]);
        expect({ words, code: own.code }).toEqual({ words, code });
      }
      const words = ["--fork", "--", "sh", "-c", `${ready}; exec sleep 100 2>/dev/null`];
      const done = await runToEnd([...ours("systemd-notify"), ...words]);
      const pid = Number(done.stdout);
      expect(done).toMatchObject({ code: 0, stderr: "" });
      process.kill(pid, "SIGTERM");
    });

    test("names a command that is not there, with the exit status of systemd.exec(5)", async () => {
      for (const words of [
        ...[["/nonexistent/program"], ["--", "no-such-program", "-x"], ["/etc/passwd"], ["/etc"]],
        [programOf("#!/nonexistent/interpreter")],
      ]) {
        const { own, systemds } = await both(["--fork", ...words]);
        // There is no process whose pid could be printed.
        expect({ ...own, stdout: "" }).toEqual({ ...systemds, stdout: "" });
        expect(own).toMatchObject({ code: 203, stdout: "" });
      }
    });

    test("does not listen to another process than the command", async () => {
      const own = await runToEnd([
        ...[...ours("systemd-notify"), "--fork", "--", "sh", "-c", `(${ready} --pid=self); exit 3`],
      ]);
      expect(own.code).toBe(3);
      expect(own.stderr).toMatch(/^Received .* unexpected process \d+ \(expected \d+\), ignoring/m);
    });

    test("answers the barriers of the command, and gives it nothing but three descriptors", async () => {
      const report =
        "exec 5>&1 1>&2; ulimit -Sn; grep -E '^Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd; readlink /proc/self/fd/0 /proc/self/fd/5";
      const say = `${ours("systemd-notify").join(" ")} --status=busy`;
      const words = ["--fork", "-q", "--", "sh", "-c", `${say} && { ${report}; } && exit 6`];
      const limited = ["sh", "-c", 'ulimit -Sn 321; "$@"; exit', "sh", ...ours("systemd-notify")];
      const done = await runToEnd([...limited, ...words]);
      expect(done).toMatchObject({ code: 6, stdout: "" });
      expect(done.stderr).toMatch(/^321\n(Sig\w+:\t0+\n){2}0\n1\n2\n3\n5\n(\/dev\/null\n){2}$/);
    });

    test("passes signals on to the command", async () => {
      const traps =
        'for s in HUP INT TERM USR1; do trap "exit 7" $s; done; echo up >&2; sleep 9 & wait';
      for (const signal of ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1"] as const) {
        const words = ["--fork", "-q", "--", "sh", "-c", traps];
        const child = Bun.spawn([...ours("systemd-notify"), ...words], { stderr: "pipe" });
        await child.stderr.getReader().read();
        child.kill(signal);
        expect({ signal, code: await child.exited }).toEqual({ signal, code: 7 });
      }
    });
  });

  test("is understood by lainos-notifyd", async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket, "--verbose");
    cleanups.push(cleanUp);
    const done = await runToEnd([...ours("systemd-notify"), "--ready", "--status=up"], {
      NOTIFY_SOCKET: socket,
    });
    expect(done).toMatchObject({ code: 0, stdout: "", stderr: "" });
    await daemon.logged(`pid ${process.pid} uid 0`);
    await daemon.logged("READY=1 STATUS=up");
    await daemon.logged("BARRIER=1");
    expect(await daemon.stop()).toBe(0);
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
