/** The one booted system that the tests of this folder share, and what several of them do with it. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LIVE_USER, type Live, startLive } from "../../testbed/live/index.ts";
import { buildProbe } from "../login1/support/probe.ts";
import { must, show } from "../support/inside.ts";

export { must, show } from "../support/inside.ts";

/** Booting takes seconds, and the first time also builds a package and a root file system. */
export const BOOT_TIMEOUT = 900_000;

/** Where the medium's syslog-ng.conf has all that is logged. */
export const LOG = "/var/log/everything.log";

/** An ordinary user besides the live one. */
export const OTHER_USER = "eiri";

/** An action that polkit allows to whoever sits at the machine, and to nobody else. */
export const TEST_ACTION = "org.lainos.test";
const TEST_POLICY = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE policyconfig PUBLIC "-//freedesktop//DTD PolicyKit Policy Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/PolicyKit/1/policyconfig.dtd">
<policyconfig>
  <action id="${TEST_ACTION}">
    <description>For a test</description>
    <message>For a test</message>
    <defaults>
      <allow_any>no</allow_any>
      <allow_inactive>no</allow_inactive>
      <allow_active>yes</allow_active>
    </defaults>
  </action>
</policyconfig>
`;

/** Where the libsystemd probe is inside. */
export const PROBE = "/usr/local/bin/sd-login-probe";

/**
 * Boots a system with the probe, the second user and polkit's test action in it.
 *
 * @param awaitSession whether to wait for the live user's session
 */
export async function bootSystem(name: string, awaitSession = true): Promise<Live> {
  const folder = await mkdtemp(join(tmpdir(), "p7-live-"));
  try {
    const probe = await readFile(await buildProbe(folder));
    const live = await startLive({
      name,
      awaitSession,
      prepare: async (root) => {
        await writeFile(join(root, PROBE), probe, { mode: 0o755 });
        const policies = join(root, "usr/share/polkit-1/actions");
        await Bun.write(join(policies, `${TEST_ACTION}.policy`), TEST_POLICY);
      },
    });
    await must(live, ["useradd", "-m", "-s", "/bin/bash", OTHER_USER]);
    return live;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * The pid of the process of that name, inside; undefined if there is none. Of several it is the
 * oldest: a program that starts another is there twice for a moment.
 */
export async function pidOf(live: Live, command: string): Promise<number | undefined> {
  const { code, stdout } = await live.exec(["pgrep", "-o", "-x", command]);
  return code === 0 ? Number(stdout) : undefined;
}

/** The live user's Wayland session; undefined while there is none. */
export async function desktopSession(live: Live): Promise<string | undefined> {
  for (const { id, user, seat } of await live.sessions()) {
    if (user !== LIVE_USER || seat !== "seat0") continue;
    const { State, Type } = await show(live, "session", id);
    if (State === "active" && Type === "wayland") return id;
  }
  return undefined;
}

/** Sees to it that greetd has logged the live user in and Sway is up; returns the session's id. */
export async function ensureDesktop(live: Live): Promise<string> {
  if ((await desktopSession(live)) === undefined || (await pidOf(live, "sway")) === undefined) {
    await live.exec(["rc-service", "greetd", "stop"]);
    for (const { id } of await live.sessions())
      await live.exec(["loginctl", "kill-session", "-s9", id]);
    await live.waitFor(async () => (await live.sessions()).length === 0, "no session");
    // greetd logs in by itself once a boot, by this file.
    await must(live, ["rm", "-f", "/run/greetd.run"]);
    await must(live, ["rc-service", "greetd", "start"]);
  }
  const id = await live.waitFor(() => desktopSession(live), "the desktop's session");
  await live.waitFor(() => pidOf(live, "sway"), "Sway");
  await live.waitFor(
    async () => (await live.exec(["sh", "-c", "ls /run/user/1000/wayland-?"])).code === 0,
    "Sway's socket",
  );
  return id;
}

/** Words that run a command as the live user in their session of this id, with these variables. */
export function inSession(id: string, command: string[], env: Record<string, string>): string[] {
  const scope = `/sys/fs/cgroup/user.slice/user-1000.slice/session-${id}.scope`;
  return [
    ...["sh", "-c", `echo $$ > ${scope}/cgroup.procs && exec "$@"`, "sh"],
    ...["setpriv", `--reuid=${LIVE_USER}`, `--regid=${LIVE_USER}`, "--init-groups", "env"],
    ...Object.entries({ XDG_RUNTIME_DIR: "/run/user/1000", XDG_SESSION_ID: id, ...env }).map(
      ([name, value]) => `${name}=${value}`,
    ),
    ...command,
  ];
}

/** Waits until a session is in no list any more. */
export function sessionGone(live: Live, id: string): Promise<true> {
  return live.waitFor(
    async () => !(await live.sessions()).some((session) => session.id === id),
    `session ${id} is gone`,
  );
}
