/**
 * Logins as people make them, through Arch's own PAM files: by ssh with a shell that reads no /etc/profile,
 * with a command and no shell at all, by sftp, su and cron. Each finds its session in its environment.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { PamWorld } from "./support.ts";

const ARCH = join(import.meta.dir, "../arch/files");
/** What su's and cron's lists of their own are without: docs/registration.md. */
const LINE = "\n-session optional @module@\n";
const USERS = {
  fisher: { uid: 4201, shell: "/usr/bin/fish" },
  basher: { uid: 4202, shell: "/bin/bash" },
};
type User = keyof typeof USERS;

/** The session parts of display managers that are not tried whole, as upstream has them for Arch. */
const DISPLAY_MANAGERS = {
  ly: "-session optional @module@ class=greeter\nsession include login\n",
  "gdm-password": "session include system-local-login\n",
  "gdm-launch-environment": `session optional pam_loginuid.so
session optional pam_keyinit.so force revoke
session optional pam_permit.so
-session optional @module@
session required pam_env.so user_readenv=1
`,
};

/** The PAM files of Arch's packages, which name our module as systemd's. */
function archServices(): Record<string, string> {
  const files = readdirSync(ARCH, { recursive: true, encoding: "utf8" })
    .filter((path) => path.includes("/pam.d/") && statSync(join(ARCH, path)).isFile())
    .map((path) => [basename(path), readFileSync(join(ARCH, path), "utf8")] as const);
  const services = Object.fromEntries(
    files.map(([name, text]) => [name, text.replace(/\bpam_systemd\.so/, "@module@")]),
  );
  for (const name of ["su-l", "cronie"]) {
    services[name] = `${services[name] ?? services["system-services"]}${LINE}`;
  }
  return { ...services, ...DISPLAY_MANAGERS };
}

let pam: PamWorld;
beforeAll(async () => {
  pam = await PamWorld.create(archServices());
  await pam.addUsers(USERS);
  await prepareSsh();
});
afterAll(() => pam.end());

async function prepareSsh(): Promise<void> {
  const folder = join(pam.root.path, "ssh");
  mkdirSync(folder);
  for (const name of ["host", "user"]) {
    await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
  }
  const server = [
    `HostKey ${folder}/host`,
    `AuthorizedKeysFile ${folder}/user.pub`,
    ...["UsePAM yes", "StrictModes no", "PidFile none", "LogLevel ERROR"],
    "Subsystem sftp /usr/lib/openssh/sftp-server",
  ];
  const client = [
    `IdentityFile ${folder}/user`,
    `UserKnownHostsFile ${folder}/known`,
    ...["StrictHostKeyChecking accept-new", "BatchMode yes", "LogLevel ERROR"],
    // No port is opened: this end is the server's standard input and output.
    `ProxyCommand /usr/sbin/sshd -i -f ${folder}/server.conf`,
  ];
  writeFileSync(join(folder, "server.conf"), `${server.join("\n")}\n`);
  writeFileSync(join(folder, "client.conf"), `${client.join("\n")}\n`);
  await must(["mkdir", "-p", "/run/sshd"]);
}

const must = (command: string[]) => pam.must(command);

const client = () => ["-F", join(pam.root.path, "ssh/client.conf")];

/** Variables by their names, of lines or of /proc/PID/environ. */
const parse = (text: string, end = "\n") =>
  Object.fromEntries(text.split(end).map((line) => line.split(/=(.*)/s).slice(0, 2)));

/** What a login is to find; its session is the one in whose scope it is. */
const session = (user: User, kind: string, type: string) => ({
  XDG_RUNTIME_DIR: `/run/user/${USERS[user].uid}`,
  XDG_SESSION_ID: expect.stringMatching(/^c?\d+$/),
  XDG_SESSION_CLASS: kind,
  XDG_SESSION_TYPE: type,
});

const LOOK = "env; cat /proc/self/cgroup";
const scoped = (said: string, user: User) => {
  const found = parse(said);
  const scope = `0::/user.slice/user-${USERS[user].uid}.slice/session-${found.XDG_SESSION_ID}.scope`;
  expect(said.split("\n").some((line) => line.startsWith(scope))).toBe(true);
  return found;
};

test.each(["fisher", "basher"] as const)("ssh %s COMMAND", async (user) => {
  const said = await must(["ssh", ...client(), `${user}@there`, LOOK]);
  expect(scoped(said, user)).toMatchObject(session(user, "user", "tty"));
});

test("a login shell that is fish", async () => {
  // A terminal, for which sshd starts the login shell itself, and of which fish asks nothing.
  const command = ["env", "TERM=dumb", "ssh", "-tt", ...client(), "fisher@there"];
  const script = `printf '%s\\n' '${LOOK}; exit' | exec "$@"`;
  const said = (await must(["sh", "-c", script, "sh", ...command])).replaceAll("\r", "");
  expect(said).toMatch(/XDG_RUNTIME_DIR=\/run\/user\/4201\n/);
  expect(said).toMatch(/XDG_SESSION_ID=c?\d+\n/);
});

test("sftp", async () => {
  const copy = join(pam.root.path, "environ");
  const command = ["sftp", "-q", ...client(), "-b", "-", "basher@there"];
  // The server lets nobody but root see its own, so it is looked at from this side meanwhile.
  const look = `!cat /proc/$(pgrep -u ${USERS.basher.uid} -x sftp-server)/environ >${copy}`;
  await must(["sh", "-c", 'echo "$0" | exec "$@"', look, ...command]);
  expect(parse(readFileSync(copy, "utf8"), "\0")).toMatchObject(session("basher", "user", "tty"));
});

test.each([
  ["ly's login screen", "ly", [], "greeter"],
  ["a user of ly's", "ly", ["XDG_SESSION_CLASS=user"], "user"],
  ["gdm's login screen", "gdm-launch-environment", ["XDG_SESSION_CLASS=greeter"], "greeter"],
  ["a user of gdm's", "gdm-password", ["XDG_SESSION_CLASS=user"], "user"],
])("%s", async (_, service, given, kind) => {
  const more = ["XDG_SEAT=seat0", "XDG_SESSION_TYPE=wayland", ...given];
  const login = await pam.logIn(service, "basher", more);
  const { XDG_SESSION_ID: id = "", ...others } = login.environment;
  expect(others).toMatchObject({
    ...{ XDG_RUNTIME_DIR: "/run/user/4202", XDG_SEAT: "seat0" },
    ...{ XDG_SESSION_CLASS: kind, XDG_SESSION_TYPE: "wayland" },
  });
  const made = { Service: service, Class: kind, Seat: "seat0", Name: "basher" };
  expect(await pam.session(id)).toMatchObject(made);
  expect(await login.logOut()).toBe(0);
  await pam.world.userGone(USERS.basher.uid);
});

test("su -l, where nobody is logged in", async () => {
  const said = await must(["su", "-l", "fisher", "-c", LOOK]);
  expect(scoped(said, "fisher")).toMatchObject(session("fisher", "background", "unspecified"));
});

test("su without -l and doas have no session, as with systemd", async () => {
  const place = "echo 'permit nopass root' >/run/doas.conf; touch /etc/doas.conf";
  await must(["sh", "-ec", `${place}; mount --bind /run/doas.conf /etc/doas.conf`]);
  for (const command of [
    ["su", "fisher", "-c", "env"],
    ["doas", "-u", "fisher", "env"],
  ]) {
    const found = parse(await must(command));
    expect(found.USER).toBe("fisher");
    expect(found.XDG_SESSION_ID).toBeUndefined();
  }
});

test("cron", async () => {
  await must(["sh", "-c", "mkdir -p /run/cron.d && mount --bind /run/cron.d /etc/cron.d"]);
  const line = `@reboot basher { ${LOOK}; } >${pam.homes}/basher/new && mv ${pam.homes}/basher/new ${pam.homes}/basher/said\n`;
  writeFileSync(join(pam.world.root, "run/cron.d/p7"), line, { mode: 0o644 });
  const daemon = Bun.spawn(pam.world.inside(["crond", "-n"]), {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const text = await pam.world.until("the job", async () => {
    const { stdout } = await pam.world.run(["cat", `${pam.homes}/basher/said`]);
    return stdout;
  });
  daemon.kill();
  await daemon.exited;
  expect(scoped(text, "basher")).toMatchObject(session("basher", "background", "unspecified"));
});
