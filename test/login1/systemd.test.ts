/**
 * systemd's own clients: its pam_systemd, which registers by varlink first (258 and later), its loginctl
 * and systemd-inhibit; and what its logind says that it has.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { close } from "../../lib/linux/index.ts";
import { faults } from "../../testbed/members/compare.ts";
import { type Member, readContract } from "../../testbed/members/contract.ts";
import { membersIn } from "../../testbed/members/introspection.ts";
import { createSession } from "./support/client.ts";
import { pamModule } from "./support/pam-module.ts";
import { scopeOf, World } from "./support/world.ts";

const USER = "nobody";
const UID = 65534;

/** Runs inside of the session, before pam_systemd is told that it is over, and once after. */
const PROBE = `#!/bin/sh
echo "$PAM_TYPE" "$XDG_SESSION_ID" "$XDG_RUNTIME_DIR" "$XDG_SESSION_TYPE"
sed -n 's/^0:://p' /proc/self/cgroup
loginctl show-session "$XDG_SESSION_ID" --property=Class --property=State --property=Service
busctl get-property org.freedesktop.login1 "/org/freedesktop/login1/session/$XDG_SESSION_ID" \\
  org.freedesktop.login1.Session ExtraDeviceAccess
`;

/** What the inhibitor is held for. */
const LIST = "systemd-inhibit --list --no-pager --no-legend";

let world: World;
let folder: string;
let said: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "p7-pam-"));
  said = join(folder, "said");
  writeFileSync(join(folder, "probe"), PROBE);
  chmodSync(join(folder, "probe"), 0o755);
  const service = `session requisite ${pamModule()} class=user type=wayland
session required pam_exec.so quiet log=${said} ${folder}/probe
`;
  writeFileSync(join(folder, "p7-login"), service);
  world = await World.create();
  const bound = await world.run(["mount", "--bind", folder, "/etc/pam.d"]);
  expect(bound).toMatchObject({ code: 0, stderr: "" });
});

afterAll(async () => {
  await world?.end();
  if (folder) rmSync(folder, { recursive: true });
});

/** A login and its end. */
function logIn(extra: string) {
  const asked = `XDG_SESSION_EXTRA_DEVICE_ACCESS=${extra}`;
  const steps = ["open_session", "close_session"];
  return world.run(["pamtester", "-E", asked, "p7-login", USER, ...steps]);
}

test("pam_systemd registers by varlink with the devices that it asks for, and releases", async () => {
  expect(await logIn("render:accel")).toMatchObject({ code: 0 });
  const lines = readFileSync(said, "utf8").split("\n");
  const id = lines.map((line) => /^open_session (c\d+) /.exec(line)?.[1]).find(Boolean);
  const inside = (step: string, state: string) => [
    `${step} ${id} /run/user/${UID} wayland`,
    `${scopeOf(UID, id ?? "")}/leader`,
    ...["Service=p7-login", "Class=user", `State=${state}`],
    'as 2 "render" "accel"',
  ];
  expect(lines.filter((line) => line !== "" && !line.startsWith("*** "))).toEqual([
    ...inside("open_session", "active"),
    ...inside("close_session", "closing"),
  ]);
  await world.until("the session is gone", () =>
    world.log.includes(`session ${id} of ${USER} is gone`),
  );
});

test("what pam_systemd is refused there is refused for good: the login fails", async () => {
  rmSync(said, { force: true });
  const { code, stderr } = await logIn("../gpu");
  expect(code).not.toBe(0);
  expect(stderr).toContain("pamtester: ");
  expect(existsSync(said)).toBe(false);
  expect((await world.run(["loginctl", "--no-legend", "list-sessions"])).stdout).toBe("");
});

test("its logind has the members that are held for its contract, each just so", async () => {
  const contract = await readContract();
  const expected = contract.filter(({ systemd, hidden }) => systemd !== "no" && !hidden);
  const theirs: Member[] = [];
  for (const object of ["", "/session", "/user", "/seat"]) {
    const asked = `--bus-introspect=/org/freedesktop/login1${object}`;
    const { stdout, stderr } = await world.run(["/usr/lib/systemd/systemd-logind", asked]);
    expect(stderr).toBe("");
    theirs.push(...membersIn(stdout));
  }
  expect(theirs.length).toBeGreaterThan(200);
  // There a session may release itself by the bus; here by varlink alone, as pam_systemd does.
  const itself = ({ name }: Member) => name === "ReleaseSession";
  expect(theirs.find(itself)?.privileged).toBe(false);
  expect(
    faults(
      expected,
      theirs.map((one) => (itself(one) ? { ...one, privileged: true } : one)),
    ),
  ).toEqual([]);
});

test("loginctl and systemd-inhibit show what there is, and end it", async () => {
  const bus = await world.connect();
  const leader = await world.leader();
  const { id, fd } = await createSession(bus, { uid: UID, leader: leader.pid, seat: "seat0" });
  const listed = await world.run(["loginctl", "--json=short", "list-sessions"]);
  expect(JSON.parse(listed.stdout)).toMatchObject([
    { session: id, uid: UID, user: USER, seat: "seat0", leader: leader.pid, class: "user" },
  ]);
  const status = await world.run(["loginctl", "--no-pager", "session-status", id]);
  expect(status).toMatchObject({ code: 0, stderr: "" });
  expect(status.stdout).toContain(`Unit: session-${id}.scope`);
  expect(status.stdout).toContain(`${leader.pid} sleep infinity`);
  const inhibit = ["systemd-inhibit", "--mode=block-weak", "--who=a-test"];
  const shown = await world.run([...inhibit, "sh", "-c", LIST]);
  expect(shown.stderr).toBe("");
  expect(shown.stdout).toMatch(/a-test +0 root .*block-weak/);
  const ended = await world.run(["loginctl", "terminate-session", id]);
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  expect(await leader.exited).not.toBe(0);
  close(fd);
  bus.close();
});
