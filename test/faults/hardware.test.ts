/** VTs, udev and the firmware's variables where a step fails half way. */
import { expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { hasVts } from "../../lib/login1/hardware/vt.ts";
import { run } from "../files/run.ts";

const LIB = resolve(import.meta.dir, "../../lib");
const UNTIL = resolve(import.meta.dir, "../support/until.ts");
const BRIDGE = resolve(import.meta.dir, "../../cmd/dbus-bridge.ts");

/** Runs a program in mounts of its own, after a script; what it printed, as JSON. */
async function alone(script: string, program: string, unshare: string[] = []): Promise<unknown> {
  const imports = Object.entries({
    "linux/index.ts": [
      "close",
      "hasCode",
      "messageOf",
      "open",
      "O_RDWR",
      "O_NOCTTY",
      "ioctl",
      "ioctlBytes",
    ],
    "login1/hardware/vt.ts": ["ControlledVt"],
    "login1/hardware/udev.ts": ["watchUdev"],
  }).map(([file, names]) => `import { ${names.join()} } from ${JSON.stringify(join(LIB, file))};`);
  const text = `${imports.join("\n")}
import { existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
const caught = (act) => { try { act(); return "none"; } catch (error) { return error.code ?? error.message; } };
const linkOf = (fd) => { try { return readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } };
const opened = (path) => readdirSync("/proc/self/fd").filter((fd) => linkOf(fd).startsWith(path)).length;
import { until } from ${JSON.stringify(UNTIL)};
${program}
process.exit(0);`;
  const words = ["unshare", "--mount", ...unshare, "sh", "-euc", `${script}\nexec bun -e "$1"`];
  const done = await run([...words, "sh", text]);
  expect({ exitCode: done.exitCode, stderr: done.stderr }).toEqual({ exitCode: 0, stderr: "" });
  return JSON.parse(done.stdout);
}

/** A pseudo terminal in the place of a VT: it can be opened and given away, and knows nothing of VTs. */
const PTY = "mount -t devpts -o newinstance pts /dev/pts; mount --bind /dev/pts/ptmx /dev/tty62";

test("a VT that cannot be taken is given back as far as it can be, and is not kept open", async () => {
  const found = await alone(
    PTY,
    `const codes = Array.from({ length: 3 }, () => caught(() => ControlledVt.prepare(62, 4711)));
console.log(JSON.stringify({ codes, left: opened("/dev/tty62"), owner: statSync("/dev/tty62").uid }));`,
  );
  expect(found).toEqual({ codes: Array(3).fill("ENOTTY"), left: 0, owner: 0 });
});

/** VTs are the machine's: this one is not in the foreground, and is free again afterwards. */
const VT = 61;
const HANG_UP = `
const hold = open("/dev/tty${VT}", O_RDWR | O_NOCTTY);
const mode = () => { const bytes = new Uint8Array(8); ioctlBytes(hold2, 0x4b44, bytes, "KDGKBMODE"); return bytes[0]; };
const vt = ControlledVt.prepare(${VT}, 0);
const hung = Bun.spawnSync(["setsid", "sh", "-c", 'exec <"$1" >"$1"; exec python3 -c "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 1); fcntl.ioctl(0, 0x5437)"', "sh", "/dev/tty${VT}"]);
const hold2 = open("/dev/tty${VT}", O_RDWR | O_NOCTTY);
`;

test.skipIf(!hasVts())(
  "a VT that was hung up is left, and given back to text and keyboard",
  async () => {
    const found = await alone(
      "mount -t tmpfs run /run",
      `${HANG_UP}
const off = mode();
// Nobody has asked for it to be left: that is what the kernel says then, and not that it is hung up.
const left = caught(() => vt.release());
vt.restore();
console.log(JSON.stringify({ hung: caught(() => ioctl(hold, 0x5603, 0, "x")), off, left, after: mode(), open: opened("/dev/tty61") }));`,
    );
    expect(found).toEqual({ hung: "EIO", off: 4, left: "EINVAL", after: 3, open: 2 });
  },
);

const UDEV = "mount -t tmpfs run /run; mkdir -p /run/udev/data";

test("where nothing more can be watched, changes in udev are seen when it can", async () => {
  const found = await alone(
    `${UDEV}; echo 2 >/proc/sys/user/max_inotify_watches`,
    `const reasons = [];
let changes = 0;
const end = watchUdev(() => ++changes > 0, (reason) => reasons.push(reason));
const first = reasons.length;
mkdirSync("/run/udev/tags/uaccess", { recursive: true });
await until("the first change is seen", () => changes > 0);
writeFileSync("/proc/sys/user/max_inotify_watches", "100");
changes = 0;
await until("it can be watched", () => changes > 0);
changes = 0;
writeFileSync("/run/udev/tags/uaccess/c1:3", "");
await until("a new tag is seen", () => changes > 0);
rmSync("/run/udev", { recursive: true });
await until("its loss is seen", () => changes > 1);
end();
console.log(JSON.stringify({ first, reasons, changes: changes > 1 }));`,
    ["--user", "--map-root-user"],
  );
  expect(found).toEqual({
    first: 0,
    reasons: [expect.stringContaining("inotify_add_watch")],
    changes: true,
  });
}, 30_000);

const VARIABLE = "OsIndications-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const MENU = "LoaderConfigTimeoutOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const EFI = `mount -t tmpfs sys /sys/firmware; mkdir -p /sys/firmware/efi/efivars
cd /sys/firmware/efi/efivars`;

/** Sets a variable; what the command said, and whether the variable is immutable. */
async function set(variable: string, words: string[], before: string, by: string[] = []) {
  const script = `${EFI}\n${before}\nchattr +i ${variable}
"$@" || echo "status $?"; lsattr -d ${variable} | cut -c5`;
  const command = [...by, "bun", BRIDGE, "firmware", ...words];
  const done = await run(["unshare", "--mount", "sh", "-euc", script, "sh", ...command]);
  return { said: done.stderr.trim(), lines: done.stdout.trim().split("\n") };
}

test("a variable of the firmware that cannot be opened is immutable again", async () => {
  const { said, lines } = await set(MENU, ["menu", "--value=5"], `mkdir ${MENU}`);
  expect(said).toContain("EISDIR");
  expect(lines).toEqual(["status 1", "i"]);
});

test("one that does not take all of a value is an error, and immutable again", async () => {
  const zero = `printf '\\7\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0' >${VARIABLE}`;
  const short = ["prlimit", "--fsize=6", "--"];
  const { said, lines } = await set(VARIABLE, ["setup", "--value=1"], zero, short);
  expect(said).toContain("took 6 of 12 bytes");
  expect(lines).toEqual(["status 1", "i"]);
});
