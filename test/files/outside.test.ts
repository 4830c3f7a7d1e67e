/** What works outside of the sandboxes, in mounts of its own: what it is asked for, and what it refuses. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { run } from "./run.ts";

const OUTSIDE = join(import.meta.dir, "../../files/usr/libexec/lainos/outside");
const PREPARE = `mount -t tmpfs run /run && mkdir -p /run/user/4711 /etc/udev/rules.d
mount -t tmpfs rules /etc/udev/rules.d && ln -s /usr /run/user/4712`;

/** Gives orders, and runs a script before and after them; what all printed, line by line. */
async function orders(kind: string, lines: string[], after = "", before = ""): Promise<string[]> {
  const script = `${PREPARE}\n${before}\nprintf '%s' "$3" | "$1" "$2"\n${after}`;
  const text = lines.map((line) => `${line}\n`).join("");
  const done = await run(["unshare", "--mount", "sh", "-euc", script, "sh", OUTSIDE, kind, text]);
  expect(done.exitCode).toBe(0);
  return done.stdout.trim().split("\n");
}

test("a runtime directory is mounted and unmounted, and nothing else", async () => {
  const mounted = "findmnt -no FSTYPE,SIZE /run/user/4711; stat -c %u:%g:%a /run/user/4711";
  expect(await orders("system", ["1 mount 4711 4711 4712 1048576 100"])).toEqual([
    "1 126 mount 4711 4711 4712 1048576 100: refused",
  ]);
  const good = await orders("system", ["1 mount 4711 4712 1048576 100"], mounted);
  expect(good.map((line) => line.trim().replace(/ +/g, " "))).toEqual([
    "1 0",
    "tmpfs 1M",
    "4711:4712:700",
  ]);
  const bad = [
    "1 mount 4712 0 1048576 100",
    "2 mount ../../usr 0 1048576 100",
    "3 mount 4711 0 1048576 1,suid",
    "4 unmount 4712",
    "5 unmount 4711/..",
    "6 attach seat1 a/b",
    '7 attach seat1",RUN+="x y',
    "8 anything",
  ];
  const answers = await orders("system", bad, "grep -c /run/user /proc/self/mountinfo || :");
  expect(answers.pop()).toBe("0");
  expect(answers.map((line) => line.split(" ")[1])).toEqual(bad.map(() => "126"));
});

test("a seat's rule is written and removed, and others stay", async () => {
  const show = "touch /etc/udev/rules.d/72-seat.rules; cat /etc/udev/rules.d/72-seat-*.rules";
  expect((await orders("system", ["1 attach seat1 usb-pci_1"], show)).slice(1)).toEqual([
    'TAG=="seat", ENV{ID_FOR_SEAT}=="usb-pci_1", ENV{ID_SEAT}="seat1"',
  ]);
  const flush = ["1 attach seat1 a", "2 flush", "3 forbid-logins"];
  const left = await orders("system", flush, "ls /etc/udev/rules.d | wc -l; wc -l </run/nologin");
  expect(left.slice(3)).toEqual(["0", "1"]);
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

test.each([
  ["programs", "1 hook pre suspend /etc/passwd"],
  ["programs", "1 hook pre suspend /etc/lainos/sleep.d/../../passwd"],
  ["programs", "1 hook during suspend /etc/lainos/sleep.d/x"],
  ["programs", "1 shut-down --help"],
  ["programs", "1 mount 4711 0 1048576 100"],
  ["restarts", "1 restart ../x"],
  ["restarts", "1 restart -D"],
  ["restarts", "1 stop dbus"],
])("%s refuses %s", async (kind, order) => {
  // It answers from the background, so the pipe's end is waited for.
  expect((await orders(kind, [order]))[0]).toMatch(/^1 126 .*refused/);
});
