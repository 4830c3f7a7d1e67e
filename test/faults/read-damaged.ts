/**
 * Reads the state files of one session with each of their values damaged in many ways, and prints what
 * is wrong about what came of it; a line for each case. Run in a mount namespace with a /run of its own.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { Logger } from "../../lib/cli/index.ts";
import { makeFifo, now } from "../../lib/linux/index.ts";
import { MOST_VTS } from "../../lib/login1/hardware/vt.ts";
import { Seat, Session, User } from "../../lib/login1/model/objects.ts";
import { saveState } from "../../lib/login1/state/env-file.ts";
import { sessionValues, userValues } from "../../lib/login1/state/records.ts";
import { loadSessions, loadUsers, userOfSession } from "../../lib/login1/state/saved.ts";
import { StateFiles } from "../../lib/login1/state/state-files.ts";
import { isText } from "../../lib/login1/vocabulary/texts.ts";
import { formatState, type Values } from "../../lib/sd-login/index.ts";

const UID = 65534;
const SESSION_FILE = "/run/systemd/sessions/c1";
const USER_FILE = `/run/systemd/users/${UID}`;

const DAMAGES: Record<string, string> = {
  "an empty value": "",
  "a letter after it": "@x",
  "a hexadecimal number": "0x10",
  "a negative number": "-1",
  "a fraction": "1.5",
  "an exponent": "1e3",
  "more than 64 bits": "18446744073709551616",
  "more than a double holds": "90071992547409931",
  "white space": " \t ",
  "a path upwards": "../../etc/passwd",
  "control characters": "\x01\x07\x1b[2J",
  "no UTF-8": Buffer.from([0xff, 0xfe, 0x80]).toString("latin1"),
  "a lot": "A".repeat(100_000),
  "line breaks": "x\nUID=0\nSEAT=seat0",
  "a wrong word": "true",
};

const silent: Logger = { debug() {}, info() {}, warning() {}, error() {} } as unknown as Logger;
const problems: string[] = [];
let cases = 0;

const user = new User(UID, UID, "nobody", `/run/user/${UID}`, now());
const session = new Session({
  ...{ id: "c1", user, leader: { pid: 4242, pidfdId: 77n, startTime: 0n } },
  ...{
    service: "greetd",
    type: "wayland",
    class: "user",
    desktop: "sway",
    seat: new Seat("seat-1"),
  },
  ...{ vtnr: 0, tty: "pts/3", display: ":0", remote: false, remoteHost: "host", remoteUser: "who" },
  ...{ extraDeviceAccess: ["render"], audit: 7, since: now(), hasFifo: true },
  idleRule: { ttyAfter: 1n, lastTouched: () => undefined },
});
session.controller = ":1.42";
session.devices.add("226:0");
session.position = 2;
session.terminatedAt = now().monotonic;
session.idleHint = { hint: true, since: now() };
user.sessions.add(session);

/** What makes a session somebody's, without which there is none. */
const ESSENTIAL = ["UID", "USER", "TYPE", "CLASS", "LEADER"];

function load(): { sessions: Session[]; users: User[] } {
  const files = new StateFiles(silent);
  const users = loadUsers(files, () => {});
  const known = new Map(users.map((one) => [one.uid, one]));
  const world = {
    userOf: (uid: number, name: string) => userOfSession(uid, name, known.get(uid)),
    seatOf: (id: string) => (id === "seat-1" ? session.seat : undefined),
    idleRule: { ttyAfter: 1n, lastTouched: () => undefined },
  };
  return { sessions: loadSessions(files, world, () => {}), users };
}

/** What a session that was read must not be, whatever its file says. */
function faultsOf(one: Session): string[] {
  const { monotonic } = now();
  const checks: Record<string, boolean> = {
    "its user is another": one.user.uid === UID && one.user.gid === UID,
    // What tells it from a later process of its number is compared with the kernel's.
    "its leader is another": one.leader.pid === 4242,
    "its seat is another": one.seat === undefined || one.seat.id === "seat-1",
    "its VT is none": Number.isInteger(one.vtnr) && one.vtnr >= 0 && one.vtnr <= MOST_VTS,
    "its position is none": Number.isInteger(one.position) && one.position >= 0,
    "its audit session is none": Number.isInteger(one.audit) && one.audit >= 0,
    "it began in the future": one.since.monotonic <= monotonic && one.since.realtime >= 0n,
    "it was terminated in the future": (one.terminatedAt ?? 0n) <= monotonic,
    "it is idle since the future": one.idleHint.since.monotonic <= monotonic,
    "its controller is none": one.controller === undefined || /^:\d+\.\d+$/.test(one.controller),
    "its devices are none": [...one.devices].every((device) => device === "226:0"),
    "it has devices without a controller": one.controller !== undefined || one.devices.size === 0,
    "its terminal is a path": !one.tty.includes(".."),
    "its texts are not as they come": [one.service, one.desktop, one.display, one.remoteHost].every(
      (text) => text.length <= 255 && isText(text),
    ),
  };
  return Object.keys(checks).filter((name) => !checks[name]);
}

/** Writes a file with one value damaged, and looks at what is read. */
function tryOne(path: string, values: Values, key: string, damage: string | undefined): void {
  cases++;
  const plain = String(values[key] ?? "");
  const text = formatState({ ...values, [key]: undefined });
  // Not by formatState: damage is not quoted.
  const line = damage === undefined ? "" : `${key}=${damage.replace("@", plain)}\n`;
  writeFileSync(path, Buffer.from(text + line, "latin1"));
  const what = `${path} ${key}=${JSON.stringify(damage?.slice(0, 40))}`;
  try {
    const { sessions } = load();
    const mayGo = path === SESSION_FILE && ESSENTIAL.includes(key);
    if (sessions.length !== 1 && !mayGo) problems.push(`${what}: the session is lost`);
    for (const one of sessions) {
      for (const fault of faultsOf(one)) problems.push(`${what}: ${fault}`);
    }
  } catch (error) {
    problems.push(`${what}: ${error instanceof Error ? error.message : error}`);
  }
}

for (const folder of ["sessions", "users", "seats"]) {
  mkdirSync(`/run/systemd/${folder}`, { recursive: true });
}
makeFifo(`${SESSION_FILE}.ref`, 0o600);
const files: [string, Values][] = [
  [SESSION_FILE, sessionValues(session, true)],
  [USER_FILE, userValues(user, session)],
];
for (const [path, values] of files) {
  for (const [other, good] of files) saveState(other, good);
  for (const key of Object.keys(values)) {
    for (const damage of [undefined, ...Object.values(DAMAGES)]) tryOne(path, values, key, damage);
  }
  // The whole file: gone, empty, cut at each byte, of bytes, a folder, unreadable for its length.
  const text = formatState(values);
  for (let end = 0; end < text.length; end++) {
    cases++;
    writeFileSync(path, text.slice(0, end));
    for (const one of load().sessions) {
      for (const fault of faultsOf(one)) problems.push(`${path} cut at ${end}: ${fault}`);
    }
  }
  rmSync(path);
  mkdirSync(path);
  load();
  rmSync(path, { recursive: true, force: true });
}
process.stdout.write(`${JSON.stringify({ cases, problems })}\n`);
