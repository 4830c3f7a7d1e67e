/** What works outside of the sandboxes, in mounts of its own: what it is asked for, and what it refuses. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { run } from "./run.ts";

const OUTSIDE = join(import.meta.dir, "../../files/usr/libexec/lainos/outside");
const PREPARE = `mount -t tmpfs run /run && mkdir -p /etc/udev/rules.d
mount -t tmpfs rules /etc/udev/rules.d`;

/** Gives orders, and runs a script before and after them; what all printed, line by line. */
async function orders(kind: string, lines: string[], after = "", before = ""): Promise<string[]> {
  const script = `${PREPARE}\n${before}\nprintf '%s' "$3" | "$1" "$2"\n${after}`;
  const text = lines.map((line) => `${line}\n`).join("");
  const done = await run(["unshare", "--mount", "sh", "-euc", script, "sh", OUTSIDE, kind, text]);
  expect(done.exitCode).toBe(0);
  return done.stdout.trim().split("\n");
}

const statuses = (answers: string[]) => answers.map((line) => line.split(" ")[1]);

test("a runtime directory is made, put right and removed, and nothing else", async () => {
  const make = "make-runtime-dir 4711 4712 1048576 100";
  const look = "findmnt -no FSTYPE,SIZE /run/user/4711; stat -c %u:%g:%a /run/user/4711 /run/user";
  const made = await orders("system", [`1 ${make}`], look);
  expect(made.map((line) => line.trim().replace(/ +/g, " "))).toEqual([
    ...["1 0", "tmpfs 1M", "4711:4712:700", "0:0:755"],
  ]);
  // Made again, it is the same one.
  const again = "chmod 777 /run/user/4711; touch /run/user/4711/x";
  const kept = `ls /run/user/4711; grep -c 4711 /proc/self/mountinfo; stat -c %a /run/user/4711`;
  const twice = `printf '%s' "1 ${make}\n" | ${OUTSIDE} system >/run/first; ${again}`;
  expect(await orders("system", [`2 ${make}`], kept, twice)).toEqual(["2 0 ", "x", "1", "700"]);
  const both = [`1 ${make}`, "2 remove-runtime-dir 4711", "3 remove-runtime-dir 4711"];
  expect(await orders("system", both, "ls /run/user | wc -l")).toEqual([
    "1 0 ",
    "2 0 ",
    "3 0 ",
    "0",
  ]);
  const bad = [
    "1 make-runtime-dir 4711 0 1048576 1,suid",
    "2 make-runtime-dir ../../usr 0 1048576 100",
    "3 make-runtime-dir 4711 0 1048576",
    "4 make-runtime-dir 4711",
    "5 remove-runtime-dir 4711/..",
    "6 remove-runtime-dir",
    "7 mount 4711 0 1048576 100",
    "8 anything",
  ];
  const answers = await orders("system", bad, "grep -c /run/user /proc/self/mountinfo || :");
  expect(answers.pop()).toBe("0");
  expect(statuses(answers)).toEqual(bad.map(() => "126"));
});

test("no link is followed to another mount, and no directory but root's is worked in", async () => {
  const victim = "mkdir /run/victim && mount -t tmpfs victim /run/victim";
  const left = "grep -c ' /run/victim ' /proc/self/mountinfo";
  const link = `${victim}; mkdir /run/user; ln -s /run/victim /run/user/4711`;
  const both = ["1 remove-runtime-dir 4711", "2 make-runtime-dir 4711 0 1048576 100"];
  const answers = await orders("system", both, left, link);
  expect(answers.pop()).toBe("1");
  expect(statuses(answers)).toEqual(["126", "1"]);
  for (const place of ["mkdir /run/user; chown 1:1 /run/user", "ln -s /run/victim /run/user"]) {
    const others = await orders("system", both, left, `${victim}; ${place}`);
    expect(others.pop()).toBe("1");
    expect(statuses(others)).toEqual(["126", "126"]);
  }
});

test("what is mounted over a runtime directory goes with it, and so does a plain one", async () => {
  const remove = ["1 remove-runtime-dir 4711"];
  const left = "ls /run/user; grep -c ' /run/user/' /proc/self/mountinfo || :";
  const mounted = "for i in 1 2 3; do mount -t tmpfs covering /run/user/4711; done";
  expect(await orders("system", remove, left, `mkdir -p /run/user/4711; ${mounted}`)).toEqual([
    ...["1 0 ", "0"],
  ]);
  // Its owner's link to elsewhere is removed, and what it points to stays.
  const plain =
    "mkdir -p /run/user/4711/a /run/kept; touch /run/kept/x; ln -s /run/kept /run/user/4711/a/b";
  expect(await orders("system", remove, `${left}; ls /run/kept`, plain)).toEqual([
    ...["1 0 ", "0", "x"],
  ]);
});

test("where nobody may mount, a plain directory has to do, and nothing stays where that fails", async () => {
  const make = "make-runtime-dir 4711 4712 1048576 100";
  const look = "stat -c %u:%g:%a /run/user/4711; grep -c /run/user /proc/self/mountinfo || :";
  // An outside of less capabilities takes the place of the real one.
  const weak = `printf '#!/bin/sh\nexec setpriv --bounding-set=-sys_admin ${OUTSIDE} "$@"\n' >/run/weak
    chmod 755 /run/weak; set -- /run/weak "$2" "$3"`;
  expect(
    await orders("system", [`1 ${make}`, "2 remove-runtime-dir 4711"], "ls /run/user", weak),
  ).toEqual([...["1 0 ", "2 0"]]);
  expect(await orders("system", [`1 ${make}`], look, weak)).toEqual(["1 0 ", "4711:4712:700", "0"]);
  const bad = "make-runtime-dir 4711 4712 1048576 99999999999999999999999";
  const refused = await orders("system", [`1 ${bad}`], "ls /run/user | wc -l");
  expect(refused.pop()).toBe("0");
  expect(statuses(refused)).toEqual(["126"]);
});

test("a seat's rule is written and removed, and others stay", async () => {
  const show = "touch /etc/udev/rules.d/72-seat.rules; cat /etc/udev/rules.d/72-seat-*.rules";
  expect((await orders("system", ["1 attach seat1 usb-pci_1"], show)).slice(1)).toEqual([
    'TAG=="seat", ENV{ID_FOR_SEAT}=="usb-pci_1", ENV{ID_SEAT}="seat1"',
  ]);
  const flush = ["1 attach seat1 a", "2 flush", "3 forbid-logins"];
  const left = await orders("system", flush, "ls /etc/udev/rules.d | wc -l; wc -l </run/nologin");
  expect(left.slice(3)).toEqual(["0", "1"]);
  const bad = ["1 attach seat1 a/b", '2 attach seat1",RUN+="x y', "3 attach seat a"];
  expect(statuses(await orders("system", bad))).toEqual(["126", "126", "126"]);
});

test("udev is told of changed rules where it runs, and the order fails where that does", async () => {
  // A udevadm that looks at the rules as they are when it is called.
  const udev = `mkdir /run/udev && mount -t tmpfs own /usr/local/sbin
    printf '#!/bin/sh\necho "$*" $(ls /etc/udev/rules.d) >>/run/told\n[ ! -e /run/fail ]' >/run/udevadm
    install -m 755 /run/udevadm /usr/local/sbin/udevadm
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("/run/udev/control")'`;
  const both = ["1 attach seat1 a", "2 flush"];
  expect(await orders("system", both, "cat /run/told", udev)).toEqual(
    [
      ...["1 0", "2 0"],
      ...["control --reload --timeout=5 72-seat-a.rules", "control --reload --timeout=5"],
    ].map((line) => expect.stringMatching(new RegExp(`^${line} ?$`))),
  );
  const failed = await orders("system", ["1 flush"], "", `${udev}\ntouch /run/fail`);
  expect(failed[0]).toMatch(/^1 1/);
});

/** A /sys with a light, a keyboard's light and another device, none of which is this machine's. */
const SYS = `mount -t tmpfs sys /sys; cd /sys
for device in pci0/backlight/intel pci0/input3::caps pci1; do
  mkdir -p devices/$device; printf 'old' >devices/$device/uevent
done
for light in pci0/backlight/intel pci0/input3::caps; do
  printf 5 >devices/$light/brightness; printf 100 >devices/$light/max_brightness
done
mkdir -p class/backlight class/leds; ln -s ../../devices/pci0/backlight/intel class/backlight/intel
ln -s ../../devices/pci0/input3::caps class/leds/input3::caps
mkdir -p /sys/out; printf 5 >/sys/out/brightness; printf 100 >/sys/out/max_brightness
ln -s ../../out class/leds/out; cd /`;

test("a light is set to what it takes, and nothing else is written", async () => {
  const show = "cat /sys/devices/pci0/backlight/intel/brightness; echo; cat /sys/out/brightness";
  const good = ["1 brightness backlight 42 intel"];
  expect(await orders("programs", good, show, SYS)).toEqual(["1 0 ", "42", "5"]);
  const bad = [
    "1 brightness backlight 101 intel",
    "2 brightness leds 7 out",
    "3 brightness leds 7 ../leds/input3::caps",
    "4 brightness leds -7 input3::caps",
    "5 brightness leds 7 ..",
    "6 brightness net 7 lo",
    "7 brightness backlight 7 missing",
  ];
  const answers = await orders("programs", bad, show, SYS);
  expect(answers.splice(-2)).toEqual(["5", "5"]);
  const refused = Object.fromEntries(answers.map((line) => [line[0], line.split(" ")[1]]));
  expect(refused).toEqual({ 1: "1", 2: "126", 3: "126", 4: "126", 5: "126", 6: "126", 7: "126" });
});

test("a device is announced with all below it, and nothing beside it", async () => {
  const show = "cd /sys/devices; for f in $(find . -name uevent | sort); do cat $f; echo; done";
  expect(await orders("system", ["1 announce /sys/devices/pci0"], show, SYS)).toEqual([
    ...["1 0 ", "change", "change", "old"],
  ]);
  expect(await orders("system", ["1 announce /sys/devices"], show, SYS)).toEqual([
    ...["1 0 ", "change", "change", "change"],
  ]);
  const bad = [
    "/sys/class/leds/out",
    "/sys/devices/../out",
    "/sys/out",
    "/etc",
    "",
    "/sys/missing",
  ];
  const lines = bad.map((path, index) => `${index} announce ${path}`);
  const answers = await orders("system", lines, show, SYS);
  expect(answers.splice(-3)).toEqual(["old", "old", "old"]);
  expect(statuses(answers)).toEqual(bad.map(() => "126"));
});

test("firmware variables are set by name and value, by the program that knows them", async () => {
  // The program is what the order runs; here it is a script that says how it was called.
  const script = `mkdir -p /run/bin; cp ${OUTSIDE} /run/bin/outside
    printf '#!/bin/sh\\nprintf "%%s|" "$@" >>/run/called\\n' >/run/bin/lainos-dbus-bridge
    chmod 755 /run/bin/*; printf '%s' "$3" | /run/bin/outside system; cat /run/called`;
  const given = [
    "1 firmware setup 1",
    "2 firmware menu 30",
    "3 firmware menu",
    "4 firmware entry Arch Linux.conf",
    "5 firmware setup 2",
    "6 firmware menu -1",
    "7 firmware BootOrder 1",
    "8 firmware entry a\u0007",
  ];
  const text = given.map((line) => `${line}\n`).join("");
  const words = ["sh", OUTSIDE, "system", text];
  const done = await run(["unshare", "--mount", "sh", "-euc", `${PREPARE}\n${script}`, ...words]);
  const [called, ...answers] = done.stdout.trim().split("\n").reverse();
  expect(called).toBe(
    [
      ...["firmware|setup|--value=1|", "firmware|menu|--value=30|", "firmware|menu|--value=|"],
      "firmware|entry|--value=Arch Linux.conf|",
    ].join(""),
  );
  expect(statuses(answers.reverse())).toEqual(["0", "0", "0", "0", "126", "126", "126", "126"]);
});

/** Services of a system of its own, and what restarts them. */
const SERVICES = `mount -t tmpfs conf /etc/conf.d 2>/dev/null || { mkdir -p /etc/conf.d; mount -t tmpfs conf /etc/conf.d; }
printf 'lainos_watchdog="restart"\\n' >/etc/conf.d/watched
printf "export lainos_watchdog='restart' # why\\n" >/etc/conf.d/exported
printf 'lainos_watchdog=restart\\nlainos_watchdog="log"\\n' >/etc/conf.d/logged
printf '#lainos_watchdog="restart"\\nx="lainos_watchdog=restart"\\nlainos_watchdog="$(touch /run/sourced)restart"\\n' >/etc/conf.d/other
mount -t tmpfs own /usr/local/sbin
printf '#!/bin/sh\\n[ "$1" != slow ] || sleep 1\\necho "$*" >>/run/called\\n' >/usr/local/sbin/rc-service
chmod 755 /usr/local/sbin/rc-service`;

test("only a service whose settings say so is restarted, and nothing of them is run", async () => {
  const called = "sort /run/called; [ ! -e /run/sourced ]";
  const given = [
    "watched",
    "exported",
    "logged",
    "other",
    "killprocs",
    "lainos-machine-id",
    "../x",
  ];
  const lines = given.map((name, index) => `${index} restart ${name}`);
  const answers = await orders(
    "services",
    [...lines, "7 restart -D", "8 stop watched"],
    called,
    SERVICES,
  );
  expect(answers.splice(-2)).toEqual(["exported restart", "watched restart"]);
  const status = Object.fromEntries(answers.map((line) => line.split(" ").slice(0, 2)));
  const refused = Object.fromEntries([2, 3, 4, 5, 6, 7, 8].map((id) => [id, "126"]));
  expect(status).toEqual({ 0: "0", 1: "0", ...refused });
});

test("the bridge may have lainos-notifyd restarted, by its settings, and nothing else", async () => {
  const notifyd = "printf 'lainos_watchdog=restart\\n' >/etc/conf.d/lainos-notifyd";
  const given = ["1 restart watched", "2 restart lainos-notifyd", "3 restart lainos-notifyd.x"];
  const called = "cat /run/called";
  const answers = await orders("programs", given, called, `${SERVICES}\n${notifyd}`);
  expect(answers.pop()).toBe("lainos-notifyd restart");
  expect(statuses(answers.toSorted())).toEqual(["126", "0", "126"]);
  const refused = await orders(
    "programs",
    ["1 restart lainos-notifyd"],
    "[ ! -e /run/called ]",
    SERVICES,
  );
  expect(refused).toEqual([expect.stringMatching(/^1 126 /)]);
});

test("eight orders are under way at once, and those above them are refused", async () => {
  const slow = `${SERVICES}\nprintf 'lainos_watchdog=restart\\n' >/etc/conf.d/slow`;
  const many = Array.from({ length: 12 }, (_, index) => `${index} restart slow`);
  const answers = await orders("services", many, "wc -l </run/called", slow);
  expect(answers.pop()).toBe("8");
  const status = statuses(answers);
  expect(status.filter((one) => one === "0").length).toBe(8);
  expect(status.filter((one) => one === "126").length).toBe(4);
  // When some have ended there is room again.
  const later = `{ printf '%s' "$3"; sleep 1.5; printf '20 restart watched\\n'; } | "$1" services | tail -n 1`;
  const text = many.map((line) => `${line}\n`).join("");
  const words = ["sh", OUTSIDE, "services", text];
  const done = await run([
    "unshare",
    "--mount",
    "sh",
    "-euc",
    `${PREPARE}\n${slow}\n${later}`,
    ...words,
  ]);
  expect(done.stdout).toBe("20 0 \n");
}, 20_000);

test("the pids in a service's pid files are told, whatever its daemon makes of them", async () => {
  const files = `mkdir -p /run/openrc/daemons/sshd /run/own /run/openrc/daemons/odd
    printf 'exec=/x\\npidfile=/run/own/a.pid\\n' >/run/openrc/daemons/sshd/001
    printf 'pidfile=/run/own/b.pid\\n' >/run/openrc/daemons/sshd/002
    printf ' 4711\\n' >/run/own/a.pid; printf '4712' >/run/own/b.pid
    for name in fifo link text; do printf "pidfile=/run/own/$name\\n" >/run/openrc/daemons/odd/$name; done
    mkfifo /run/own/fifo; ln -s a.pid /run/own/link; echo 12 monkeys >/run/own/text`;
  const given = ["1 pids sshd", "2 pids odd", "3 pids ../own", "4 pids missing"];
  expect(await orders("services", given, "", files)).toEqual([
    ...["1 0 4711 4712", "2 0 ", "3 126 pids ../own: refused", "4 0"],
  ]);
});

test.each([
  ["programs", "1 hook pre suspend /etc/passwd"],
  ["programs", "1 hook pre suspend /etc/lainos/sleep.d/../../passwd"],
  ["programs", "1 hook during suspend /etc/lainos/sleep.d/x"],
  ["programs", "1 shut-down --help"],
  ["programs", "1 make-runtime-dir 4711 0 1048576 100"],
  ["services", "1 hook pre suspend /etc/lainos/sleep.d/x"],
  ["system", "1 restart dbus"],
])("%s refuses %s", async (kind, order) => {
  expect((await orders(kind, [order]))[0]).toMatch(/^1 126 .*refused/);
});
