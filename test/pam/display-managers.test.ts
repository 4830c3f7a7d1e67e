/**
 * Debian's display managers as they are, with the PAM files of their packages, on an X server that draws
 * into memory: the login screen's session is a greeter's, and the user's a user's.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { userByName } from "../../lib/linux/index.ts";
import { addDevice } from "../login1/support/udev-database.ts";
import { PamWorld } from "./support.ts";

const USER = { uid: 4202, shell: "/bin/bash" };

/** The one into memory knows no seat, VT and background. */
const X_SERVER = `#!/bin/sh
words=
while [ $# -gt 0 ]; do
  case $1 in
    :*) words="$words $1" ;;
    -displayfd) words="$words $1 $2" && shift ;;
  esac
  shift
done
exec Xvfb $words -nolisten tcp
`;

/** The system's own PAM files, which name our module as systemd's. */
function ownServices(): Record<string, string> {
  const folder = "/etc/pam.d";
  return Object.fromEntries(
    readdirSync(folder).map((name) => {
      const text = readFileSync(join(folder, name), "utf8");
      return [name, text.replace(/^(?!#)(.*\s)pam_systemd\.so/gm, "$1@module@")];
    }),
  );
}

let pam: PamWorld;
let manager: Bun.Subprocess | undefined;
beforeAll(async () => {
  const names = ["org.freedesktop.DisplayManager", "sddm_org.freedesktop.DisplayManager"];
  const policies = names.map((name) => `${name}.conf`);
  pam = await PamWorld.create(ownServices(), { policies });
  await pam.addUsers({ basher: USER });
  const { root } = pam;
  await root.write("bin/x", X_SERVER, 0o755);
  const who = (name: string) => `${root.path}/said/${name}`;
  for (const name of ["greeter", "session"]) {
    const text = `#!/bin/sh\nenv >${who(name)}.new && mv ${who(name)}.new ${who(name)}\nexec sleep infinity\n`;
    await root.write(`bin/${name}`, text, 0o755);
    const entry = `[Desktop Entry]\nName=p7\nType=Application\nExec=${root.path}/bin/${name}\n`;
    await root.write(`${name}s/p7.desktop`, entry);
  }
  // sddm waits for a card.
  addDevice(pam.world, "+drm:card0", ["seat", "master-of-seat"]);
  const see = () => pam.world.stateOf("seats", "seat0").CAN_GRAPHICAL === "1";
  await pam.world.until("the seat shows something", see);
  await pam.must(["install", "-dm1777", `${root.path}/said`]);
});
afterEach(async () => {
  manager?.kill();
  await manager?.exited;
  await pam.must(["sh", "-c", `rm -f ${pam.root.path}/said/*`]);
});
afterAll(() => pam.end());

/** Starts a display manager, and waits until this of it says what it has in its environment. */
async function environmentOf(name: string, command: string[]): Promise<Record<string, string>> {
  manager = Bun.spawn(pam.world.inside(command), {
    stdio: ["ignore", "ignore", "ignore"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  const said = await pam.world.until(name, async () => {
    const { stdout } = await pam.world.run(["cat", join(pam.root.path, "said", name)]);
    return stdout;
  });
  return Object.fromEntries(
    said
      .trim()
      .split("\n")
      .map((line) => line.split(/=(.*)/s).slice(0, 2)),
  );
}

interface Expected {
  user: string;
  service: string;
  kind: string;
}

/** Holds what was found against login1's session and what is expected. */
async function holds(found: Record<string, string>, { user, service, kind }: Expected) {
  const uid = user === "basher" ? USER.uid : userByName(user)?.uid;
  const { XDG_SESSION_ID: id = "", ...others } = found;
  expect(others).toMatchObject({
    ...{ XDG_RUNTIME_DIR: `/run/user/${uid}`, XDG_SEAT: "seat0" },
    ...{ XDG_SESSION_CLASS: kind, XDG_SESSION_TYPE: "x11" },
  });
  expect(await pam.session(id)).toMatchObject({
    ...{ Name: user, Service: service, Class: kind, Type: "x11", Seat: "seat0" },
    ...{ Remote: "no", State: "active" },
  });
}

const LIGHTDM = (path: string) => `[LightDM]
logind-check-graphical=false
greeters-directory=${path}/greeters
sessions-directory=${path}/sessions
log-directory=/run/lightdm/log
cache-directory=/run/lightdm/cache
run-directory=/run/lightdm/run
[Seat:*]
xserver-command=${path}/bin/x
session-wrapper=/usr/bin/env
greeter-session=p7
user-session=p7
`;

test.each([
  ["the login screen", "greeter", "lightdm", "lightdm-greeter", ""],
  ["a user", "session", "basher", "lightdm-autologin", "autologin-user=basher\n"],
])("lightdm: %s", async (_, who, user, service, more) => {
  const { root } = pam;
  const config = await root.write("lightdm.conf", `${LIGHTDM(root.path)}${more}`);
  await pam.must(["sh", "-c", "mkdir -p /run/lightdm/log /run/lightdm/cache /run/lightdm/run"]);
  const environment = await environmentOf(who, ["lightdm", "-c", config]);
  await holds(environment, { user, service, kind: who === "greeter" ? "greeter" : "user" });
});

const SDDM = (path: string, more: string) => `[General]
DisplayServer=x11
[X11]
ServerPath=${path}/bin/x
SessionDir=${path}/sessions
SessionCommand=${path}/bin/session
DisplayCommand=/bin/true
DisplayStopCommand=/bin/true
${more}`;

test.each([
  ["the login screen", "greeter", "sddm", "sddm-greeter", ""],
  ["a user", "session", "basher", "sddm-autologin", "[Autologin]\nUser=basher\nSession=p7\n"],
])("sddm: %s", async (_, who, user, service, more) => {
  const { root } = pam;
  const config = await root.write("sddm.conf", SDDM(root.path, more));
  // Its login screen would draw, with more of Qt than is here: that of this test says what it has found.
  const place = `touch /etc/sddm.conf
    mount --bind ${config} /etc/sddm.conf
    mount --bind ${root.path}/bin/greeter /usr/bin/sddm-greeter-qt6`;
  await pam.must(["sh", "-ec", place]);
  const environment = await environmentOf(who, ["sddm"]);
  await holds(environment, { user, service, kind: who === "greeter" ? "greeter" : "user" });
});
