/**
 * A root of Debian's newest parts in which the tests run. Of the host it has the kernel, the checkout
 * and the caches, so that what the tests call (dbus-daemon, polkitd, loginctl, libsystemd, Sway, pacman,
 * QEMU) is as new as what LainOS ships, whatever release the host is.
 */
import { join } from "node:path";
import { cacheDir, debianPackages, ensureHostPackages, hostKind } from "../../scripts/host.ts";
import { ensureRootfs, type Recipe } from "../../scripts/lib/rootfs.ts";

/** What the tests call besides what host.ts knows. */
const MORE = [
  ...["adwaita-icon-theme-legacy", "apt", "ca-certificates", "dbus", "dbus-bin"],
  ...["debian-archive-keyring", "file", "git", "kbd", "libseat1", "lsof", "openssl", "perl"],
  ...["psmisc", "python3-dbus", "python3-gi", "sudo", "syslog-ng-core", "systemd-dev"],
  ...["tzdata", "udev", "util-linux-extra", "xauth"],
] as const;

const ROOT: Recipe = {
  kind: "tools",
  suite: "forky",
  packages: [...new Set([...debianPackages(), ...MORE])].sort(),
  boots: false,
  clients: false,
};

/** Set in it, so that what runs there does not enter it once more. */
const VARIABLE = "LAINOS_TOOLS";

/** Whether this process runs in it, or on a system that needs none: Arch has newer parts than it. */
export async function isInTools(): Promise<boolean> {
  return process.env[VARIABLE] !== undefined || (await hostKind()) === "arch";
}

/**
 * Runs a command of the checkout in the root, which is built where the cache has none of this recipe.
 * All that it mounts, and /run, are its own and end with it.
 *
 * @param checkout stays where it is, as do the caches and the home folder
 * @param onLine is told what the building prints
 * @returns its exit status
 * @throws {HostError} if the root cannot be built
 */
export async function runInTools(
  checkout: string,
  command: readonly string[],
  onLine: (line: string) => void,
): Promise<number> {
  await ensureHostPackages(["mmdebstrap", "unshare", "setpriv"]);
  const root = await ensureRootfs(ROOT, new AbortController().signal, onLine);
  const script = join(import.meta.dir, "enter.sh");
  const kept = [checkout, cacheDir(), process.env.HOME ?? "/root", process.execPath];
  const child = Bun.spawn(
    ["unshare", "--mount", "--propagation", "slave", "sh", script, root, ...kept, ...command],
    {
      cwd: checkout,
      stdio: ["inherit", "inherit", "inherit"],
      env: { ...process.env, [VARIABLE]: "1" },
    },
  );
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
  return child.exited;
}

/**
 * Runs this process's own command line again in the root, where it is not in it already.
 *
 * @returns the exit status of that; undefined inside
 * @throws {HostError} if the root cannot be built
 */
export async function runAgainInTools(
  checkout: string,
  onLine: (line: string) => void,
): Promise<number | undefined> {
  if (await isInTools()) return undefined;
  return runInTools(checkout, [process.execPath, ...process.argv.slice(1)], onLine);
}
