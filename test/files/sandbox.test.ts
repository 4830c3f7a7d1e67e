/** The launcher of the sandboxes, in mounts of its own: what each profile leaves, and nothing else. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { run } from "./run.ts";

const LIBEXEC = join(import.meta.dir, "../../files/usr/libexec/lainos");
const PROFILES = ["dbus-bridge", "notifyd", "ghost-units", "net-init"] as const;
type Profile = (typeof PROFILES)[number];

/**
 * A system with the launcher in it, a user for lainos-notifyd, and a /run as a running system has it:
 * sockets and fifos of other services', by which a process that reaches them has the machine.
 */
const SYSTEM = `
mount -t tmpfs own /usr/libexec
mkdir -p /usr/libexec/lainos
cp -r ${LIBEXEC}/. /usr/libexec/lainos
mount -t tmpfs run /run
for name in passwd group; do cp /etc/$name /run/$name; done
echo 'lainos-notifyd:x:64999:64999::/:/bin/false' >>/run/passwd
echo 'lainos-notifyd:x:64999:' >>/run/group
for name in passwd group; do mount --bind /run/$name /etc/$name; done
cd /run
mkdir -p dhcpcd openrc/started openrc/daemons/x udev/data dbus lainos systemd user/1000 lock log
mkfifo openrc/init.ctl openrc/supervise-x.ctl initctl user/1000/pipe
echo 12 >supervise-x.pid; : >utmp; echo x >lainos/machine-id
cat >/usr/libexec/server.py <<'END'
import os, socket, sys
made = []
for path in sys.argv[1:]:
    made.append(socket.socket(socket.AF_UNIX)); made[-1].bind("\\0attack" if path == "@" else path)
    made[-1].listen(9)
os.write(int(os.environ["READY"]), b"x")
import signal; signal.pause()
END
mkfifo ready; exec 8<>ready
READY=8 python3 /usr/libexec/server.py @ dhcpcd/sock udev/control dbus/system_bus_socket \\
  lainos/fdstore systemd/notify seatd.sock user/1000/bus openrc/sock &
server=$!
trap 'kill $server' EXIT
head -c 1 <&8 >/dev/null; exec 8<&-; rm ready
cd /
`;

/** Runs a shell script in a profile. */
async function launch(profile: Profile, script: string, before = "") {
  const launcher = `${SYSTEM}
${before}
env -i PATH="$PATH" /usr/libexec/lainos/sandbox ${profile} /bin/sh -c "$1"`;
  return run(["unshare", "--mount", "sh", "-euc", launcher, "sh", script]);
}

/** Runs one that ends well; what it printed, line by line. */
async function inside(profile: Profile, script: string, before = ""): Promise<string[]> {
  const done = await launch(profile, script, before);
  expect({ stderr: done.stderr, exitCode: done.exitCode }).toEqual({ stderr: "", exitCode: 0 });
  return done.stdout.trim().split("\n").filter(Boolean);
}

const NODES = ["full", "null", "random", "urandom", "zero"].map((name) => `/dev/${name}`);

test("of /run there is what the profile names, and no socket or fifo besides", async () => {
  const list = "find /run -mindepth 1 -maxdepth 2 ! -path '/run/mount*' | sort";
  const found = "find /run '(' -type s -o -type p ')' | sort";
  expect(await inside("dbus-bridge", list)).toEqual([
    ...["/run/dbus", "/run/dbus/system_bus_socket"],
    ...["/run/lainos", "/run/lainos/fdstore", "/run/lainos/machine-id"],
    ...["/run/systemd", "/run/systemd/notify"],
    ...["/run/udev", "/run/udev/data", "/run/udev/static_node-tags", "/run/udev/tags"],
    "/run/utmp",
  ]);
  expect(await inside("dbus-bridge", found)).toEqual([
    ...["/run/dbus/system_bus_socket", "/run/lainos/fdstore", "/run/systemd/notify"],
  ]);
  expect(await inside("notifyd", list)).toEqual([
    ...["/run/lainos", "/run/lainos/notify", "/run/openrc"],
    ...["daemons", "inactive", "options", "started", "starting", "stopping"].map(
      (name) => `/run/openrc/${name}`,
    ),
  ]);
  expect(await inside("notifyd", found)).toEqual([]);
  expect(await inside("ghost-units", list)).toEqual(["/run/systemd", "/run/systemd/notify"]);
  expect(await inside("net-init", list)).toEqual([]);
}, 30_000);

test("at the first step that fails it ends: nothing is started, and the system's root stays", async () => {
  const before = `mkdir /usr/libexec/fake; PATH=/usr/libexec/fake:$PATH
printf '#!/bin/sh\nexit 1\n' >/usr/libexec/fake/pivot_root; chmod 755 /usr/libexec/fake/pivot_root`;
  const { stdout, stderr, exitCode } = await launch("ghost-units", "echo started", before);
  expect({ stdout, stderr, exitCode }).toEqual({
    stdout: "",
    stderr:
      'sandbox: ghost-units: no root of its own: lainos_sandbox="no" in /etc/conf.d starts it without one\n',
    exitCode: 1,
  });
});

test("what comes later in a directory of the profile is there, and what is made new in its place", async () => {
  const later = `( sleep 0.3; rm /run/dbus/system_bus_socket; mkfifo /run/dbus/system_bus_socket
    touch /run/dbus/later; mkdir /run/dhcpcd2 ) &`;
  const list = "sleep 1; ls -F /run/dbus; ls -d /run/dhcp* 2>/dev/null || :";
  expect(await inside("dbus-bridge", list, later)).toEqual(["later", "system_bus_socket|"]);
}, 30_000);

test("what can be written is what the profile names", async () => {
  const list = `while read -r _ path _ options _; do
    case $path:$options in /dev/*) ;; *:rw*) echo "$path" ;; esac; done </proc/self/mounts | sort -u`;
  const power = "/sys/power";
  const bridge = await inside("dbus-bridge", list);
  expect(
    bridge.filter((path) => !path.startsWith(power) && !path.startsWith("/sys/fs/cgroup")),
  ).toEqual([...["/dev", "/run/systemd", "/tmp", "/var/lib/systemd/linger"]]);
  const files = ["state", "disk", "mem_sleep", "resume", "resume_offset"];
  for (const path of bridge.filter((one) => one.startsWith(power))) {
    expect(files).toContain(path.slice(power.length + 1));
  }
  expect(await inside("notifyd", list)).toEqual(["/run/lainos/notify", "/tmp"]);
  expect(await inside("ghost-units", list)).toEqual(["/run/systemd", "/tmp"]);
  for (const path of await inside("net-init", list))
    expect(path).toMatch(/^\/(tmp|proc\/sys\/.*)$/);
}, 30_000);

test("devices are not written to by way of sysfs, nor what is mounted below /proc", async () => {
  const write = `find /sys/devices -maxdepth 3 -name uevent | head -n 3 | while read -r file; do
    (echo change >"$file") 2>&1 | sed 's/.*: //'; done | sort -u`;
  expect(await inside("dbus-bridge", write)).toEqual(["Read-only file system"]);
  const below = "mount -t tmpfs -o mode=777 keys /proc/sys/fs/binfmt_misc";
  const register = "(echo x >/proc/sys/fs/binfmt_misc/register) 2>&1 | sed 's/.*: //'";
  expect(await inside("dbus-bridge", register, below)).toEqual(["Read-only file system"]);
}, 30_000);

test("lainos-notifyd is a user of its own, who can signal nobody and has no capability", async () => {
  const who = `id -u; id -G; grep -E '^(Cap|NoNew)' /proc/self/status | tr -s '\\t' ' '
    kill -0 1 2>/dev/null && echo signalled; ls -ld /run/lainos/notify | cut -d' ' -f1,3`;
  expect(await inside("notifyd", who)).toEqual([
    ...["64999", "64999"],
    ...["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map((set) => `${set}: 0000000000000000`),
    ...["NoNewPrivs: 1", "drwxr-xr-x lainos-notifyd"],
  ]);
  // What is above its directory, where others of ours keep theirs, it cannot write.
  const plant = "(ln -s /etc/x /run/lainos/machine-id.new) 2>&1 | sed 's/.*: //'";
  expect(await inside("notifyd", plant)).toEqual(["Read-only file system"]);
}, 30_000);

test("abstract sockets are another network's, and other processes are not seen by what needs none", async () => {
  const connect = `python3 -c '
import socket
s = socket.socket(socket.AF_UNIX)
try: s.connect("\\0attack"); print("connected")
except OSError as error: print(error.strerror)'`;
  for (const profile of ["dbus-bridge", "notifyd", "ghost-units"] as const) {
    expect(await inside(profile, connect)).toEqual(["Connection refused"]);
  }
  const pids = "ls -d /proc/[0-9]* | wc -l";
  for (const profile of ["ghost-units", "net-init"] as const) {
    expect(Number((await inside(profile, pids))[0])).toBeLessThan(6);
  }
}, 30_000);

test("devices are the profile's own, and no node can be made or opened besides", async () => {
  const disk = "mknod /dev/p7-test-disk b 7 250; trap 'rm -f /dev/p7-test-disk; kill $server' EXIT";
  const open = "for f in /dev/p7-test-disk; do (: <$f) 2>&1 | sed 's/.*: //'; done";
  expect(await inside("dbus-bridge", open, disk)).toEqual(["Permission denied"]);
  expect(await inside("notifyd", open, disk)).toEqual(["Permission denied"]);
  for (const profile of ["ghost-units", "net-init"] as const) {
    expect(await inside(profile, "find /dev -mindepth 1 | sort")).toEqual(NODES);
  }
}, 30_000);

test("who may own or read a disk, or memory, nobody in a sandbox changes", async () => {
  const nodes = `mount -t tmpfs -o mode=0755 dev /dev
    for name in null zero full random urandom; do mknod /dev/$name c 1 3; done
    mkdir /dev/cpu /dev/cpu/0
    mknod /dev/p7disk b 7 250; mknod /dev/nvme0 c 240 0; mknod /dev/sg0 c 21 0
    mknod /dev/mem c 1 1; mknod /dev/cpu/0/msr c 202 0; mknod /dev/sr0 b 11 0; mknod /dev/video0 c 81 0`;
  const change = `for node in p7disk nvme0 sg0 mem cpu/0/msr sr0 video0; do
    (chmod 666 /dev/$node; chown 1 /dev/$node) 2>&1 | sed 's/.*: //' | sort -u
    (: </dev/$node) 2>&1 | sed 's/.*: //'
  done`;
  const ro = "Read-only file system";
  const none = "Permission denied";
  expect(await inside("dbus-bridge", change, nodes)).toEqual([
    ...Array.from({ length: 5 }, () => [ro, none]).flat(),
    ...[none, none],
  ]);
}, 30_000);

test("the pipes to what works outside have no name, and end with the daemon", async () => {
  const look = `ls -d /run/lainos-outside* 2>/dev/null || :
    printf '7 firmware x\\n' >&6; read -r line <&7; echo "$line"
    printf '8 hook\\n' >&8; read -r line <&9; echo "$line"`;
  const script = `${SYSTEM}
    env -i PATH="$PATH" /usr/libexec/lainos/sandbox dbus-bridge /bin/sh -c "$1"
    sleep 0.5; ls -d /run/lainos-outside* 2>/dev/null || :
    pgrep -P $$ -f libexec/lainos/outside || echo ended`;
  const done = await run(["unshare", "--mount", "sh", "-euc", script, "sh", look]);
  expect(done.stdout.trim().split("\n")).toEqual([
    ...["7 126 firmware x : refused", "8 126   : refused", "ended"],
  ]);
}, 30_000);

test("a profile that is not there, or a name that leads elsewhere, is refused", async () => {
  for (const name of ["nothing", "../outside", ""]) {
    const done = await run(["sh", join(LIBEXEC, "sandbox"), name, "/bin/true"]);
    expect(done).toMatchObject({ exitCode: 2, stdout: "" });
    expect(done.stderr).toBe(`sandbox: there is no profile ${name}\n`);
  }
});
