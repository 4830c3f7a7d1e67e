/** What the service logrotate runs, with the real logrotate and the configurations that we ship. */
import { afterEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureHostPackages } from "../../scripts/host.ts";
import { ROOT } from "./run.ts";

const folders: string[] = [];
const running: Bun.Subprocess[] = [];
afterEach(async () => {
  for (const child of running.splice(0)) {
    child.kill("SIGKILL");
    await child.exited;
  }
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

/** A folder with logs, and our configurations for those, at /var/log in a mount namespace. */
async function world() {
  await ensureHostPackages(["logrotate"]);
  const folder = await mkdtemp(join(tmpdir(), "p7-logrotate-"));
  folders.push(folder);
  const logs = join(folder, "log");
  await mkdir(join(logs, "lainos"), { recursive: true });
  const parts = ["files/etc/logrotate.d/lainos", "airootfs/etc/logrotate.d/syslog-ng"];
  const texts = await Promise.all(parts.map((part) => readFile(join(ROOT, part), "utf8")));
  await writeFile(join(folder, "rc-service"), `#!/bin/sh\necho "$@" >>${folder}/said\n`, {
    mode: 0o755,
  });
  await writeFile(join(folder, "conf"), texts.join("\n"), { mode: 0o644 });
  const start = (seconds: number) => {
    // Its state is in /var/lib, which the namespace has a place of its own for.
    const script = `mount --bind ${logs} /var/log
      mount -t tmpfs tmpfs /var/lib
      mkdir -p /var/lib/logrotate
      exec ${ROOT}/files/usr/libexec/lainos/rotate-logs logrotate ${folder}/conf ${seconds}`;
    const child = Bun.spawn(["unshare", "--mount", "sh", "-euc", script], {
      env: { PATH: `${folder}:/usr/sbin:/usr/bin:/sbin:/bin` },
      stdio: ["ignore", "inherit", "inherit"],
    });
    running.push(child);
    return child;
  };
  return { folder, logs, start };
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await holds()) return;
    await Bun.sleep(50);
  }
  throw new Error(`in ten seconds not: ${what}`);
}

test("a log that grows too large is rotated by the next run, and a small one is not", async () => {
  const { folder, logs, start } = await world();
  const large = join(logs, "lainos/lainos-dbus-bridge.log");
  await writeFile(join(logs, "lainos/small.log"), "a line\n");
  await writeFile(join(logs, "everything.log"), "a line\n");
  start(1);
  await Bun.sleep(300);
  await writeFile(large, Buffer.alloc(11e6, "x"));
  await until("a rotation", async () => (await readdir(join(logs, "lainos"))).length === 3);
  // Copied and emptied: the daemon goes on in the same file.
  await until("an empty log", async () => (await stat(large)).size === 0);
  expect((await stat(`${large}.1`)).size).toBe(11e6);
  expect(await readdir(logs)).toEqual(["everything.log", "lainos"]);

  await writeFile(join(logs, "everything.log"), Buffer.alloc(51 * 1024 * 1024, "x"));
  await until("syslog-ng told", () => Bun.file(join(folder, "said")).exists());
  expect(await readFile(join(folder, "said"), "utf8")).toBe(
    "--quiet --ifstarted syslog-ng reload\n",
  );
  expect(((await stat(join(logs, "everything.log"))).mode & 0o777).toString(8)).toBe("640");
}, 60_000);

test("it ends when it is told to, and its sleep with it", async () => {
  const { logs, start } = await world();
  await writeFile(join(logs, "everything.log"), "a line\n");
  const seconds = 70_000 + (process.pid % 10_000);
  const child = start(seconds);
  const sleeps = () => Bun.spawnSync(["pgrep", "-fx", `sleep ${seconds}`]).stdout.toString();
  await until("its sleep", async () => sleeps() !== "");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  await until("the end of its sleep", async () => sleeps() === "");
}, 60_000);
