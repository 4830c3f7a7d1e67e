/** Rows for every service of ours in a booted system: its status is true, and a stop of it leaves nothing. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Live } from "../../testbed/live/index.ts";
import { BOOT_TIMEOUT, must } from "./system.ts";

const SCRIPTS = join(import.meta.dir, "../../openrc/init.d");

export const script = (name: string) => readFileSync(join(SCRIPTS, name), "utf8");
export const ALL = readdirSync(SCRIPTS).sort();
/** The test system has no radio and no logrotate. */
const SERVICES = ALL.filter((name) => name !== "iwd" && name !== "logrotate");
const SUPERVISED = SERVICES.filter((name) => /^lainos_supervise$/m.test(script(name)));

/** What rc-service's status ends with. */
const STARTED = 0;
const STOPPED = 3;
const CRASHED = 32;
const UNSUPERVISED = 64;

/** What is left of a service: its processes and cgroup, what OpenRC has of it, sockets of nobody. */
const LEFT = `
name=$1
for cgroup in /sys/fs/cgroup/$name /sys/fs/cgroup/openrc.$name; do
  [ ! -d $cgroup ] || { echo $cgroup; cat $cgroup/cgroup.procs; }
done
ls -d /run/supervise-$name.pid /run/openrc/supervise-$name.ctl /run/openrc/options/$name \
  /run/openrc/daemons/$name /run/lainos-outside.* 2>/dev/null
# What is in /run/user goes with its user's last session.
find /run /dev /var /tmp -path /run/user -prune -o -type s -print | while read -r socket; do
  # A greetd that was killed and came back leaves its socket until the service is stopped.
  case $name:$socket in greetd:*) ;; *:/run/greetd-*) continue ;; esac
  # A daemon's may be in a network of its own, and is spelled as it bound it: syslog-ng's /dev//log.
  cat /proc/[0-9]*/net/unix 2>/dev/null | tr -s / | grep -q " $socket$" || echo $socket
done
true
`;

let live: Live;
let mounts: string;

const readMounts = async () =>
  (await must(live, ["findmnt", "--noheadings", "--list", "--output", "TARGET,FSTYPE"]))
    .split("\n")
    .filter((line) => !line.startsWith("/run/user/"))
    .join("\n");
const status = async (name: string) => (await live.exec(["rc-service", name, "status"])).code;
const act = (name: string, ...words: string[]) => must(live, ["rc-service", name, ...words]);
const pidIn = async (file: string) => Number(await must(live, ["cat", file]));
/** The supervisor writes it down a moment after a start has returned. */
const daemonOf = (name: string) =>
  live.waitFor(async () => {
    const file = `/run/openrc/options/${name}/child_pid`;
    const { code, stdout } = await live.exec(["cat", file]);
    return code === 0 && Number(stdout);
  }, `the pid of ${name}'s daemon`);
const left = async (name: string) => must(live, ["sh", "-c", LEFT, "sh", name]);

/** @param boot starts the system, which is stopped after the last row */
export function testServices(boot: () => Promise<Live>): void {
  beforeAll(async () => {
    live = await boot();
    // It is in no runlevel.
    await act("seatd", "start");
    mounts = await readMounts();
  }, BOOT_TIMEOUT);
  afterAll(() => live?.stop(), BOOT_TIMEOUT);
  afterEach(async () => {
    // With a service go those that need it.
    const states = await live.services();
    for (const name of SERVICES) if (states[name] !== "started") await act(name, "start");
  }, 60_000);

  describe.each(SERVICES)("%s", (name) => {
    test("is started, stops without leaving anything, and starts again", async () => {
      expect(await status(name)).toBe(STARTED);
      await act(name, "stop");
      expect(await status(name)).toBe(STOPPED);
      expect(await left(name)).toBe("");
      expect(await readMounts()).toBe(mounts);
      await act(name, "start");
      expect(await status(name)).toBe(STARTED);
    }, 60_000);
  });

  describe.each(SUPERVISED)("%s", (name) => {
    test("comes back when it is killed", async () => {
      const killed = await daemonOf(name);
      await must(live, ["kill", "-9", String(killed)]);
      const next = async () => {
        const pid = await daemonOf(name);
        return pid !== killed && (await live.exec(["kill", "-0", String(pid)])).code === 0;
      };
      await live.waitFor(next, `${name} runs again`);
      expect(await status(name)).toBe(STARTED);
    }, 60_000);

    test("leaves nothing when it is stopped before it has come back", async () => {
      await must(live, ["kill", "-9", String(await daemonOf(name))]);
      await act(name, "stop");
      expect(await status(name)).toBe(STOPPED);
      expect(await left(name)).toBe("");
    }, 60_000);

    test("says so when its supervisor is killed, and is whole after a restart", async () => {
      const daemon = await daemonOf(name);
      await must(live, ["kill", "-9", String(await pidIn(`/run/supervise-${name}.pid`))]);
      const isSaid = async () => (await status(name)) === UNSUPERVISED;
      await live.waitFor(isSaid, "the status says so");
      await act(name, "restart");
      expect(await status(name)).toBe(STARTED);
      expect((await live.exec(["kill", "-0", String(daemon)])).code).not.toBe(0);
      await act(name, "stop");
      expect(await left(name)).toBe("");
    }, 60_000);
  });

  describe("what runs once", () => {
    test.each([
      ["cgroup-delegate", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/moved"],
      ["lainos-machine-id", "/run/lainos/machine-id", "/run/lainos/machine-id.moved"],
      ["lainos-ghost-units", "/run/systemd/ask-password", "/run/systemd/ask-password.moved"],
    ])(
      "as %s says so when its work is not there, and does it again",
      async (name, path, moved) => {
        if (name === "cgroup-delegate") {
          // The kernel moves no cgroup: it goes with its sessions.
          await act("greetd", "stop");
          await act("lainos-dbus-bridge", "stop");
          // What a login leaves behind whose program was killed is nobody's to end but its user's.
          await must(live, ["sh", "-c", `echo 1 >${path}/cgroup.kill`]);
          const remove = `for each in $(find ${path} -depth -type d); do rmdir $each; done`;
          await live.waitFor(
            async () => (await live.exec(["sh", "-c", remove])).code === 0,
            "the slice is gone",
          );
        } else {
          await must(live, ["mv", path, moved]);
        }
        expect(await status(name)).toBe(CRASHED);
        await act(name, "restart");
        expect(await status(name)).toBe(STARTED);
        if (name !== "cgroup-delegate") await must(live, ["rm", "-r", moved]);
      },
      60_000,
    );
  });
}
