/**
 * Random logins by our module and by systemd's in turn: the same session and the same environment. What is
 * different on purpose (docs/registration.md) is left out: who may say a seat, and the class of one's own.
 * P7_SEED=N repeats a run; the seed of each is printed.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { pamModule } from "../login1/support/pam-module.ts";
import { Random } from "../login1/support/random-source.ts";
import { PamWorld } from "./support.ts";

const LOGINS = 30;

/** Those of a seat, and others. */
const AT_SEAT = ["sddm", "gdm-password", "lightdm-greeter", "ly"];
const SERVICES = [...AT_SEAT, "systemd-user", "login", "sshd", "crond"];
const USERS = ["root", "nobody", "daemon"];

const ITEMS: Record<string, readonly string[]> = {
  tty: ["pts/3", "/dev/pts/4", ":5", ":5.0", "ssh", "cron", "console", "ttyS0"],
  xdisplay: [":6", "far:0"],
  rhost: ["far.example", "127.0.0.1", "localhost", "LOCALHOST.localdomain", "a.localhost.", "::1"],
  ruser: ["me"],
  XDG_SESSION_TYPE: ["tty", "x11", "wayland", "mir", "web", "unspecified", ""],
  XDG_SESSION_CLASS: [
    ...["user", "user-early", "user-light", "user-early-light", "user-incomplete", "none", ""],
    ...["background", "background-light", "manager", "manager-early"],
  ],
  XDG_SESSION_INCOMPLETE: ["1", "no", "true", "maybe", "YES", "off", "on"],
  XDG_SESSION_DESKTOP: ["sway", "KDE", ""],
};
/** A seat's own, for those who are at one. */
const SEAT_ITEMS: Record<string, readonly string[]> = {
  tty: ["pts/3", ":5", "console"],
  xdisplay: [":6"],
  XDG_SEAT: ["seat0", "seat-none", ""],
  XDG_SESSION_TYPE: ["tty", "x11", "wayland", ""],
  XDG_SESSION_CLASS: ["greeter", "lock-screen", "user", ""],
};

/** What each session has of its own. */
const OWN =
  /^(?:Id|Timestamp|TimestampMonotonic|Scope|Leader|LeaderPIDFDId|Audit|IdleSinceHint.*)$/;

let pam: PamWorld;
beforeAll(async () => {
  const line = "session required @module@\n";
  pam = await PamWorld.create(Object.fromEntries(SERVICES.map((name) => [name, line])));
});
afterAll(() => pam.end());

test(`systemd's module and ours make the same of ${LOGINS} random logins`, async () => {
  const seed = Number(process.env.P7_SEED ?? Math.floor(Math.random() * 2 ** 32));
  process.stdout.write(`P7_SEED=${seed}\n`);
  const random = new Random(seed);
  for (let login = 0; login < LOGINS; login++) {
    const sits = random.oneIn(2);
    const service = random.of(sits ? AT_SEAT : SERVICES);
    const given = Object.entries(sits ? SEAT_ITEMS : ITEMS)
      .filter(() => random.oneIn(2))
      .map(([name, values]) => `${name}=${random.of(values)}`);
    const user = random.of(USERS);
    const ours = await seen(service, user, given);
    await pam.root.write(`pam.d/${service}`, `session required ${pamModule()}\n`);
    const theirs = await seen(service, user, given);
    await pam.root.write(`pam.d/${service}`, `session required ${pam.module}\n`);
    const what = `P7_SEED=${seed}, login ${login}: ${service} ${user} ${given.join(" ")}`;
    expect({ what, ...ours }).toEqual({ what, ...theirs });
  }
}, 120_000);

/** What a login finds, and what login1 has of it. */
async function seen(service: string, user: string, given: string[]) {
  const login = await pam.logIn(service, user, given);
  // Systemd's sets HOME, which every login program does.
  const { XDG_SESSION_ID: id, HOME: _, ...environment } = login.environment;
  const all = id === undefined ? {} : await pam.session(id);
  const session = Object.entries(all).filter(([name]) => !OWN.test(name));
  await login.logOut();
  return { isOpen: login.status === 0, isSession: id !== undefined, environment, session };
}
