/** The Openbox session's lock for real: what autostart starts, under login1, on an X server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createSession } from "../login1/support/client.ts";
import { PowerWorld } from "../login1/support/power-world.ts";
import { scopeOf } from "../login1/support/world.ts";
import { cleanUp, copied, startX } from "./support.ts";

cleanUp();

const NOBODY = 65534;

/** Files in the place of the kernel's, which would put this machine to sleep. */
const SET_UP = `
mkdir -p /run/fake/power
echo 'freeze mem disk' >/run/fake/power/state
echo '[deep]' >/run/fake/power/mem_sleep
mount --bind /run/fake/power /sys/power
`;

let power: PowerWorld;
beforeAll(async () => {
  power = await PowerWorld.create(SET_UP);
});
afterAll(() => power.end());

/** Starts a session in which autostart runs, as Openbox runs it; returns its id. */
async function session(): Promise<string> {
  const autostart = copied("etc/skel/.config/openbox/autostart");
  const ids = `--reuid=${NOBODY} --regid=${NOBODY} --clear-groups`;
  const script = `read -r line; setpriv ${ids} sh ${autostart}; exec sleep infinity`;
  const leader = Bun.spawn(power.world.inside(["sh", "-c", script]), {
    env: { PATH: "/usr/bin:/bin", DISPLAY: await startX(), LAINOS_LIVE: "/nowhere" },
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
  });
  const about = { uid: NOBODY, leader: leader.pid, type: "x11", class: "user" };
  const { id } = await createSession(power.bus, about);
  leader.stdin.write("\n");
  await leader.stdin.end();
  return id;
}

test("locks when login1 says so, and before sleep, which waits for it", async () => {
  const id = await session();
  const { world } = power;
  const lockers = () => processes(id, "i3lock");
  const inhibitors = async () => (await world.run(["systemd-inhibit", "--list"])).stdout;
  await world.until("the agent", async () => /xss-lock .* sleep .* delay/.test(await inhibitors()));
  expect(await lockers()).toEqual([]);

  // The agent inhibits before it listens, so once may be too early.
  await world.until("the locker", async () => {
    await world.run(["loginctl", "lock-session", id]);
    return (await lockers()).length > 0;
  });
  const show = ["loginctl", "show-session", id, "--value", "--property=LockedHint"];
  const hint = async () => (await world.run(show)).stdout.trim();
  await world.until("the hint", async () => (await hint()) === "yes");
  await world.run(["loginctl", "unlock-session", id]);
  await world.until("no hint", async () => (await hint()) === "no");

  // The agent is made to wait, and the sleep with it.
  const state = () => power.read("run/fake/power/state");
  const [agent] = await processes(id, "xss-lock");
  process.kill(Number(agent), "SIGSTOP");
  await power.call("Suspend", "b", false);
  await world.until("the signal", () => power.signals.includes("PrepareForSleep true"));
  expect([await lockers(), state()]).toEqual([[], "freeze mem disk\n"]);
  process.kill(Number(agent), "SIGCONT");
  await world.until("the sleep", () => state() === "mem");
  expect(await lockers()).not.toEqual([]);
});

/** Those of a session's processes that have this name. */
async function processes(id: string, name: string): Promise<string[]> {
  const command = ["sh", "-c", 'find "$0" -name cgroup.procs -exec cat {} +'];
  const { stdout } = await power.world.run([...command, `/sys/fs/cgroup${scopeOf(NOBODY, id)}`]);
  return stdout.split("\n").filter((pid) => pid !== "" && nameOf(pid) === name);
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    // It has ended.
    return "";
  }
}
