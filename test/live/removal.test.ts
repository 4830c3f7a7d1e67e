/** The system after protocol7-core was removed by pacman: it boots, people log in, nothing dangles. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { appendFile, lstat } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "zx";
import { removePackage } from "../../scripts/lib/install.ts";
import { ensureRootfs, LIVE_ROOT } from "../../scripts/lib/rootfs.ts";
import { buildPackage } from "../../scripts/package.ts";
import { LIVE_USER, type Live, startLive } from "../../testbed/live/index.ts";
import { BOOT_TIMEOUT, must } from "./system.ts";

const NAME = "test-removal";

let live: Live;
/** What the package holds, folders left out. */
let files: string[];

beforeAll(async () => {
  const { packageFile } = await buildPackage();
  const listed = await $({ quiet: true })`bsdtar -tf ${packageFile}`;
  files = listed.stdout.split("\n").filter((path) => /^(etc|usr)\/.*[^/]$/.test(path));
  live = await startLive({
    name: NAME,
    packageFile,
    awaitSession: false,
    prepare: async (root) => {
      await appendFile(join(root, "etc/conf.d/seatd"), "# mine\n");
      const { signal } = new AbortController();
      await removePackage(NAME, await ensureRootfs(LIVE_ROOT, signal));
    },
  });
}, BOOT_TIMEOUT);
afterAll(() => live?.stop(), BOOT_TIMEOUT);

describe("without protocol7-core", () => {
  test("OpenRC reaches the runlevel default with every service started", async () => {
    expect(await must(live, ["cat", "/proc/1/comm"])).toBe("openrc-init\n");
    expect((await must(live, ["rc-status", "--runlevel"])).trim()).toBe("default");
    const states = Object.entries(await live.services());
    expect(states.filter(([, state]) => state !== "started")).toEqual([]);
    expect(states.map(([name]) => name)).toContain("localmount");
  });

  test("no link in a runlevel leads nowhere", async () => {
    expect(await must(live, ["find", "/etc/runlevels", "-xtype", "l"])).toBe("");
  });

  test("a person logs in at a terminal and by su, and PAM knows nothing of ours", async () => {
    // Said until it is heard: login(1) throws away what was typed before it.
    const typed = `for try in $(seq 100); do
      [ ! -s /tmp/login ] || break; echo 'id -un >/tmp/login'; sleep 0.1
    done; echo exit`;
    const login = `{ ${typed}; } | script -qec 'login -f ${LIVE_USER}' /dev/null`;
    await must(live, ["sh", "-c", login]);
    expect(await must(live, ["cat", "/tmp/login"])).toBe(`${LIVE_USER}\n`);
    expect(await must(live, ["su", "-l", LIVE_USER, "-c", "id -un"])).toBe(`${LIVE_USER}\n`);
    const ours = await live.exec(["grep", "-rl", "security/pam_systemd.so", "/etc/pam.d"]);
    expect(ours).toMatchObject({ code: 1, stdout: "" });
  });

  test("what was edited is kept beside its place, and no other file is left", async () => {
    expect(files.length).toBeGreaterThan(50);
    const left: string[] = [];
    for (const path of files) {
      const there = await lstat(join(live.root, path)).catch(() => undefined);
      if (there !== undefined) left.push(path);
    }
    expect(left).toEqual([]);
    const saved = await must(live, ["find", "/etc", "-name", "*.pacsave"]);
    // The test system sets chrony's.
    const expected = ["chrony", "seatd"].map((name) => `/etc/conf.d/${name}.pacsave`);
    expect(saved.trim().split("\n").toSorted()).toEqual(expected);
    expect(await must(live, ["tail", "-n1", "/etc/conf.d/seatd.pacsave"])).toBe("# mine\n");
  });
});
