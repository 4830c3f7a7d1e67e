/** Boots a prepared overlay: OpenRC as the first process of namespaces of its own. */
import { spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HostError } from "../../scripts/host.ts";
import { cgroupTree } from "../../scripts/lib/cgroup.ts";
import { missing, readInitPid, stateDir } from "../../scripts/lib/state.ts";

/** How a test system ended (openrc-init, reboot(2) in a pid namespace). */
export type Ending = "power-off" | "reboot" | `status ${number}`;

/**
 * Boots the prepared system and returns the init's pid, as the host sees it.
 * @throws HostError with the console's last lines where the init does not start.
 */
export async function boot(name: string, rootfs: string): Promise<number> {
  const dir = stateDir(name);
  const tree = await cgroupTree(name);
  const console = await open(join(dir, "console.log"), "a");
  try {
    const keeper = spawn(
      "sh",
      [join(import.meta.dir, "keeper.sh"), tree, rootfs, dir, name],
      // A session of its own, so that Ctrl-C here is no business of its.
      {
        detached: true,
        stdio: ["ignore", console.fd, console.fd],
        cwd: "/",
        env: { PATH: process.env.PATH },
      },
    );
    keeper.unref();
  } finally {
    await console.close();
  }
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await sleep(10)) {
    const pid = await readInitPid(name);
    const command = pid && (await readFile(`/proc/${pid}/comm`, "utf8").catch(missing));
    if (pid && command === "openrc-init\n") return pid;
    if ((await ending(name)) !== undefined) break;
  }
  throw new HostError(`the init did not start:\n  ${(await consoleTail(name)).join("\n  ")}`);
}

/** How the system ended; undefined while it has not. */
export async function ending(name: string): Promise<Ending | undefined> {
  const text = await readFile(join(stateDir(name), "exit"), "utf8").catch(missing);
  if (text === undefined) return undefined;
  const status = Number(text);
  return status === 130 ? "power-off" : status === 129 ? "reboot" : `status ${status}`;
}

/** The last lines that the init and its services printed. */
export async function consoleTail(name: string, count = 20): Promise<string[]> {
  const text = await readFile(join(stateDir(name), "console.log"), "utf8").catch(missing);
  return (text ?? "").trimEnd().split("\n").slice(-count);
}
