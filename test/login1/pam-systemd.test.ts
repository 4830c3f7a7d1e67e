/**
 * The pam_systemd.so of a systemd that registers by varlink first (258 and later), as Arch has it.
 * Debian 12 has an older one, so it comes from a later release; it runs on this one's libc.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unpackedPackages } from "../debian-packages.ts";
import { World } from "./world.ts";

setDefaultTimeout(120_000);

const USER = "nobody";
const UID = 65534;
const LIBRARIES = "usr/lib/x86_64-linux-gnu";

/** Runs inside of the session, before pam_systemd is told that it is over, and once after. */
const PROBE = `#!/bin/sh
echo "$PAM_TYPE" "$XDG_SESSION_ID" "$XDG_RUNTIME_DIR" "$XDG_SESSION_TYPE"
sed -n 's/^0:://p' /proc/self/cgroup
loginctl show-session "$XDG_SESSION_ID" --property=Class --property=State --property=Service
busctl get-property org.freedesktop.login1 "/org/freedesktop/login1/session/$XDG_SESSION_ID" \\
  org.freedesktop.login1.Session ExtraDeviceAccess
`;

let world: World;
let folder: string;
let packages: string;
let said: string;

beforeAll(async () => {
  packages = await unpackedPackages("forky", ["libpam-systemd", "libsystemd-shared", "pamtester"]);
  folder = mkdtempSync(join(tmpdir(), "p7-pam-"));
  said = join(folder, "said");
  writeFileSync(join(folder, "probe"), PROBE);
  chmodSync(join(folder, "probe"), 0o755);
  const module = join(packages, LIBRARIES, "security/pam_systemd.so");
  const service = `session requisite ${module} class=user type=wayland
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
  return world.run([
    ...["env", `LD_LIBRARY_PATH=${packages}/${LIBRARIES}/systemd`],
    ...[`${packages}/usr/bin/pamtester`, "-E", `XDG_SESSION_EXTRA_DEVICE_ACCESS=${extra}`],
    ...["p7-login", USER, "open_session", "close_session"],
  ]);
}

test("it is registered by varlink with the devices that it asks for, and released", async () => {
  expect(await logIn("render:accel")).toMatchObject({ code: 0 });
  const inside = (step: string, state: string) => [
    `${step} c1 /run/user/${UID} wayland`,
    `/user.slice/user-${UID}.slice/session-c1.scope/leader`,
    ...["Service=p7-login", "Class=user", `State=${state}`],
    'as 2 "render" "accel"',
  ];
  const lines = readFileSync(said, "utf8").split("\n");
  expect(lines.filter((line) => line !== "" && !line.startsWith("*** "))).toEqual([
    ...inside("open_session", "active"),
    ...inside("close_session", "closing"),
  ]);
  await world.until("the session is gone", () =>
    world.log.includes("session c1 of nobody is gone"),
  );
});

test("what is refused there is refused for good: the login fails", async () => {
  rmSync(said, { force: true });
  const { code, stderr } = await logIn("../gpu");
  expect(code).not.toBe(0);
  expect(stderr).toContain("pamtester: ");
  expect(existsSync(said)).toBe(false);
  expect((await world.run(["loginctl", "--no-legend", "list-sessions"])).stdout).toBe("");
});
