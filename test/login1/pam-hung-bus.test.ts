/** A login while the bus hangs, as dbus-daemon does over a stranger's file descriptor: it has its session. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "../../lib/dbus/index.ts";
import { callManager } from "./support/client.ts";
import { World } from "./support/world.ts";

const INIT = join(import.meta.dir, "../../cmd/lainos-init.ts");

let world: World;
let bus: Connection;

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
});
afterAll(async () => {
  bus.close();
  await world.end();
});

/** A shell that stands for the PAM application: it opens a session, waits for a line, and closes it. */
function login() {
  const pam = (type: string) =>
    `PAM_TYPE=${type} PAM_USER=nobody PAM_SERVICE=greetd PAM_TTY= "${process.execPath}" ${INIT} pam`;
  const script = `${pam("open_session")} >/run/environment; echo "opened $?"; read line; ${pam("close_session")}; echo "closed $?"; read line`;
  return Bun.spawn(world.inside(["sh", "-c", script]), {
    env: { PATH: "/usr/bin:/bin" },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
}

const files = () =>
  readdirSync(`${world.root}/run/systemd/sessions`).filter((name) => !name.includes("."));

test("is registered and released by varlink, without the bus", async () => {
  await world.signalBus("STOP");
  const child = login();
  const reader = child.stdout.getReader();
  const next = async () => Buffer.from((await reader.read()).value ?? []).toString();
  try {
    expect(await next()).toBe("opened 0\n");
    expect(files()).toHaveLength(1);
    expect(existsSync(`${world.root}/run/user/65534`)).toBeTrue();
    const environment = readFileSync(`${world.root}/run/environment`, "utf8");
    expect(environment).toMatch(/^XDG_SESSION_ID=c\d+$/m);
    expect(environment).toContain("\nXDG_RUNTIME_DIR=/run/user/65534\n");
    child.stdin.write("\n");
    child.stdin.flush();
    expect(await next()).toBe("closed 0\n");
    child.stdin.end();
    await child.exited;
    await world.until("its session is gone", () => files().length === 0);
  } finally {
    await world.signalBus("CONT");
  }
  expect(await callManager(bus, "ListSessions")).toEqual([[]]);
});

test("that is within a session gets no second one, and ends none", async () => {
  const child = login();
  const reader = child.stdout.getReader();
  const next = async () => Buffer.from((await reader.read()).value ?? []).toString();
  expect(await next()).toBe("opened 0\n");
  const [id] = files();
  const inner = Bun.spawn(
    world.inside(
      [
        "sh",
        "-c",
        `PAM_TYPE=close_session PAM_USER=nobody PAM_SERVICE=su "${process.execPath}" ${INIT} pam; exit $?`,
      ],
      { cgroup: "" },
    ),
    { env: { PATH: "/usr/bin:/bin" }, stdin: "ignore", stdout: "ignore", stderr: "inherit" },
  );
  expect(await inner.exited).toBe(0);
  expect(files()).toEqual([id ?? ""]);
  child.stdin.end();
  await child.exited;
  await world.until("its session is gone", () => files().length === 0);
});
