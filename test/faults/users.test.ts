/** What is left of a user whose runtime directory is a plain one, and where programs are looked for. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Connection } from "../../lib/dbus/index.ts";
import { close } from "../../lib/linux/index.ts";
import { callManager, createSession } from "../login1/support/client.ts";
import { World } from "../login1/support/world.ts";

const BRIDGE = resolve(import.meta.dir, "../../cmd/dbus-bridge.ts");
const ALICE = 65534;
const RUNTIME = `/run/user/${ALICE}`;

let world: World;
let bus: Connection;
beforeAll(async () => {
  // Whoever starts the bridge has a PATH of their own.
  const path = `PATH=/run/path:${process.env.PATH}`;
  world = await World.create({ bridge: ["env", path, process.execPath, BRIDGE] });
  bus = await world.connect();
  mkdirSync(join(world.root, "run/lainos"));
  writeFileSync(join(world.root, "run/lainos/logind.conf"), "[Login]\nUserStopDelaySec=0\n");
  mkdirSync(join(world.root, "run/path"));
  for (const name of ["find", "rm"]) {
    const script = "#!/bin/sh\necho called >>/run/called\n";
    writeFileSync(join(world.root, "run/path", name), script, { mode: 0o755 });
  }
  await callManager(bus, "Reload");
});
afterAll(async () => {
  bus.close();
  await world.end();
});

const script = async (text: string) =>
  expect(await world.run(["sh", "-euc", text])).toMatchObject({ code: 0, stderr: "" });
const there = () => existsSync(join(world.root, RUNTIME));
/** Logs in, does something in the runtime directory, and logs out. */
async function comeAndGo(text: string): Promise<void> {
  const leader = await world.leader();
  const { fd } = await createSession(bus, { uid: ALICE, leader: leader.pid });
  await script(text);
  leader.kill("SIGKILL");
  close(fd);
  await world.until("nobody is logged in", async () => {
    return ((await callManager(bus, "ListUsers"))[0] as unknown[]).length === 0;
  });
}

/** As where nobody may mount. */
const PLAIN = `umount ${RUNTIME}; mkdir -p ${RUNTIME}/a/b /run/kept; touch ${RUNTIME}/a/b/c /run/kept/x
ln -s /run/kept ${RUNTIME}/a/link`;

test("a plain runtime directory goes with all that is in it, and nothing that it links to", async () => {
  await comeAndGo(PLAIN);
  await world.until("it is gone", () => !there());
  expect(readdirSync(join(world.root, "run/kept"))).toEqual(["x"]);
});

test("what is mounted in a plain one is not emptied, and the log says that it stays", async () => {
  await comeAndGo(
    `${PLAIN}; mkdir ${RUNTIME}/mnt; mount -t tmpfs mnt ${RUNTIME}/mnt; touch ${RUNTIME}/mnt/x`,
  );
  await world.until("it is said", () => /rm failed with exit status 1/.test(world.log));
  expect(readdirSync(join(world.root, RUNTIME))).toEqual(["mnt"]);
  await script(`[ -e ${RUNTIME}/mnt/x ]; umount ${RUNTIME}/mnt; rm -r ${RUNTIME}`);
});

test("no program of the PATH that the bridge was started with is run", async () => {
  await comeAndGo(`${PLAIN}; echo x >/dev/shm/left; chown ${ALICE} /dev/shm/left`);
  await world.until("it is gone", () => !there());
  await world.until("so is shared memory", () => !existsSync(join(world.root, "dev/shm/left")));
  expect(existsSync(join(world.root, "run/called"))).toBe(false);
});
