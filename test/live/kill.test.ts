/**
 * kill -9 of our daemons, at random moments of boots and of logins: what is left is a system that
 * works. `P7_SEED=N` repeats a run as far as the order of the victims and the pauses go.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { hasCode, messageOf } from "../../lib/linux/index.ts";
import { readInitPid } from "../../scripts/lib/state.ts";
import { LIVE_USER, type Live } from "../../testbed/live/index.ts";
import { Random } from "../login1/support/random-source.ts";
import {
  BOOT_TIMEOUT,
  bootSystem,
  ensureDesktop,
  must,
  OTHER_USER,
  PROBE,
  show,
} from "./system.ts";

const SEED = Number(process.env.P7_SEED ?? Math.floor(Math.random() * 2 ** 32));
const BOOTS = 5;
const MOST_KILLS = 200;
/** After so many it is looked whether all is well. */
const KILLS_A_GROUP = 15;

/** Our programs, by a word that only their command lines have: also while the sandbox is made. */
const PROGRAMS = [
  "lainos-dbus-bridge",
  "lainos-notifyd",
  "lainos-ghost-units",
  "lainos-net-init",
  "lainos-audio-init",
  "lainos-init",
  "outside",
].map((name) => `/usr/libexec/lainos/${name}`);

/** OpenRC's own, which have a daemon's command line among their arguments. */
const NOT_OURS = ["supervise-daemon", "openrc-run", "start-stop-daemon"];

/**
 * None is killed more often than this, in milliseconds: six deaths within ten seconds are a daemon
 * that does not stay up, which is given up, and so is what runs once and was killed three times.
 */
const PACE = 2500;

const DAEMONS = ["lainos-dbus-bridge", "lainos-notifyd"];

const random = new Random(SEED);
const kills: Record<string, number> = {};
const total = () => Object.values(kills).reduce((sum, count) => sum + count, 0);

interface Victim {
  pid: number;
  program: string;
}

/** Processes of our programs in the system, by the host's pids. */
function victims(initPid: number): Victim[] {
  const found: Victim[] = [];
  const inside = readlinkSync(`/proc/${initPid}/ns/pid`);
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      if (NOT_OURS.some((own) => words[0]?.includes(own) || words[1]?.includes(own))) continue;
      const program = PROGRAMS.find((path) => words.includes(path));
      if (program === undefined || readlinkSync(`/proc/${name}/ns/pid`) !== inside) continue;
      found.push({ pid: Number(name), program: program.slice(program.lastIndexOf("/") + 1) });
    } catch (error) {
      // It has ended meanwhile.
      if (!hasCode(error, "ENOENT", "ESRCH")) throw error;
    }
  }
  return found;
}

/** When each may be killed again. */
const notBefore = new Map<string, number>();

/** Kills one of those that may be, if there is one. */
function killOne(initPid: number): void {
  const now = performance.now();
  const mayBeKilled = (program: string) => now > (notBefore.get(program) ?? 0);
  // A daemon goes with what works outside for it.
  const goWith = (program: string) => (program === "outside" ? DAEMONS : []);
  const able = victims(initPid).filter(({ program }) =>
    [program, ...goWith(program)].every(mayBeKilled),
  );
  if (able.length === 0) return;
  // Each program as often as any other, however many processes it has.
  const program = random.of([...new Set(able.map((victim) => victim.program))].sort());
  const { pid } = random.of(able.filter((victim) => victim.program === program));
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (hasCode(error, "ESRCH")) return;
    throw error;
  }
  kills[program] = (kills[program] ?? 0) + 1;
  // Each login has one of its own.
  if (program === "lainos-init") return;
  for (const each of [program, ...goWith(program)]) notBefore.set(each, now + PACE);
}

/** Kills one after the other, with pauses of up to so many milliseconds, until it is over. */
async function killUntil(
  isOver: () => boolean,
  initPid: () => Promise<number | undefined>,
  longestPause: number,
): Promise<void> {
  while (!isOver()) {
    const pid = await initPid();
    if (pid !== undefined) killOne(pid);
    await Bun.sleep(random.below(longestPause));
  }
}

/** The entries of a folder, without hidden ones; none if there is no such folder. */
function names(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => !name.startsWith("."))
    .sort();
}

const ids = async (live: Live) => (await live.sessions()).map(({ id }) => id).sort();

/** `verify`, and where it fails what there is to see. */
async function verifyOrTell(live: Live): Promise<void> {
  try {
    await verify(live);
  } catch (error) {
    const logs = "tail -n 40 /var/log/lainos/lainos-* /run/lainos/log/* 2>/dev/null";
    const seen = await live.exec(["sh", "-c", `rc-status -a; ps -ef; loginctl; ${logs}`]);
    const lines = (await live.consoleLog()).split("\n").slice(-60);
    console.log(`${lines.join("\n")}\n${seen.stdout}${seen.stderr}`);
    throw error;
  }
}

/** That the system works: services, a new login, and one truth on the bus, in files and in cgroups. */
async function verify(live: Live): Promise<void> {
  for (const service of ["lainos-notifyd", "lainos-dbus-bridge"]) {
    await live.waitFor(
      async () => (await live.exec(["rc-service", service, "status"])).code === 0,
      `${service} runs`,
    );
  }
  await live.waitFor(async () => (await live.exec(["loginctl"])).code === 0, "login1 answers");
  const services = Object.entries(await live.services());
  expect(services.filter(([, state]) => state !== "started")).toEqual([]);
  await ensureDesktop(live);
  const said = await must(live, [
    ...["su", "-l", OTHER_USER, "-c"],
    'echo "$XDG_SESSION_ID $XDG_RUNTIME_DIR $(loginctl show-session -p State "$XDG_SESSION_ID")"',
  ]);
  expect(said).toMatch(/^\w+ \/run\/user\/\d+ State=(active|online)\n$/);
  const [login = ""] = said.split(" ");
  await live.waitFor(async () => !(await ids(live)).includes(login), "the login has ended");
  let views: Record<string, string[]> = {};
  const agree = async () => {
    const slices = `${live.root}/sys/fs/cgroup/user.slice`;
    const ofUsers = (name: string) => names(`${slices}/${name}`);
    const scopes = names(slices)
      .filter((name) => name.startsWith("user-"))
      .flatMap(ofUsers);
    views = {
      bus: await ids(live),
      files: names(`${live.root}/run/systemd/sessions`).filter((name) => !name.endsWith(".ref")),
      cgroups: scopes.flatMap((name) => /^session-(.*)\.scope$/.exec(name)?.[1] ?? []).sort(),
      users: [...new Set((await live.sessions()).map(({ uid }) => String(uid)))].sort(),
      folders: names(`${live.root}/run/user`),
    };
    const same = (a: string, b: string) => String(views[a]) === String(views[b]);
    return same("bus", "files") && same("bus", "cgroups") && same("users", "folders");
  };
  await live.waitFor(agree, "one truth").catch((error) => {
    throw new Error(`${messageOf(error)}: ${JSON.stringify(views)}`);
  });
  for (const id of await ids(live)) {
    const { Leader } = await show(live, "session", id);
    const seen = await must(live, [PROBE, Leader ?? ""]);
    expect(seen).toContain(`pid_session=${id}\n`);
    const list = /^sessions=\d+ (.*)$/m.exec(seen)?.[1];
    expect(list?.split(" ").sort()).toEqual(await ids(live));
  }
}

test(
  `${BOOTS} boots with kills in them end in a system that works`,
  async () => {
    console.log(`P7_SEED=${SEED}`);
    const name = "test-kill-boot";
    for (let boot = 0; boot < BOOTS; boot++) {
      let isUp = false;
      const killing = killUntil(
        () => isUp,
        () => readInitPid(name),
        500,
      );
      const live = await bootSystem(name, false).finally(() => {
        isUp = true;
      });
      try {
        await killing;
        await verifyOrTell(live);
      } finally {
        await live.stop();
      }
    }
    console.log(`killed: ${JSON.stringify(kills)}`);
  },
  BOOT_TIMEOUT,
);

describe("logins", () => {
  let live: Live;

  beforeAll(async () => {
    live = await bootSystem("test-kill");
  }, BOOT_TIMEOUT);
  afterAll(() => live?.stop(), BOOT_TIMEOUT);

  test(
    `with ${MOST_KILLS} kills among them leave it working, and who was logged in stays so`,
    async () => {
      // Its end is not waited for.
      const staying = live.exec(["su", "-l", OTHER_USER, "-c", "exec sleep 1000"], {
        timeout: BOOT_TIMEOUT,
      });
      const isOthers = async () =>
        (await live.sessions()).find(({ user }) => user === OTHER_USER)?.id;
      const stays = await live.waitFor(isOthers, "the session that stays");
      let isOver = false;
      while (total() < MOST_KILLS) {
        const target = Math.min(total() + KILLS_A_GROUP, MOST_KILLS);
        isOver = false;
        const logins = [LIVE_USER, OTHER_USER].map(async (user) => {
          while (!isOver) {
            const pause = random.below(400) / 1000;
            const done = await live.exec(["su", "-l", user, "-c", `sleep ${pause}; id -un`]);
            expect(done).toMatchObject({ code: 0, stdout: `${user}\n` });
          }
        });
        await killUntil(
          () => total() >= target,
          async () => live.initPid,
          500,
        );
        isOver = true;
        await Promise.all(logins);
        await verifyOrTell(live);
        expect(await ids(live)).toContain(stays);
      }
      console.log(`killed: ${JSON.stringify(kills)}`);
      await must(live, ["loginctl", "terminate-session", stays]);
      await staying;
    },
    BOOT_TIMEOUT,
  );
});
