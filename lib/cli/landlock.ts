/**
 * Landlock for a daemon in /usr/libexec/lainos/sandbox: the same paths as its mounts leave it, once
 * more, by a means that needs no privilege and that holds also outside of its mount namespace.
 */
import { isAbsolute } from "node:path";
import type { FileRight, LandlockPolicy } from "../linux/index.ts";

/** Set for what we execute: the version of Landlock that holds. "no" in it: none is wanted. */
const VARIABLE = "LAINOS_LANDLOCK";

const READ: readonly FileRight[] = ["readFile", "readFolder"];
const RUN: readonly FileRight[] = ["execute"];
/** All but nodes of devices. */
const WRITE: readonly FileRight[] = [
  ...READ,
  ...(["writeFile", "truncate", "makeFile", "makeFolder", "makeSocket", "makeFifo"] as const),
  ...(["makeSymlink", "removeFile", "removeFolder", "refer"] as const),
];
const DEVICE: readonly FileRight[] = ["readFile", "writeFile", "truncate", "ioctlDevice"];
/** What is in the files is the kernel's: nothing is made or removed. */
const SET: readonly FileRight[] = ["readFile", "writeFile", "truncate"];

type Paths = LandlockPolicy["paths"];

const EVERYWHERE: Paths = [
  // Of what the sandbox has. It is not the root of the system, to which nothing here leads.
  ["/", READ],
  ...(["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"] as const).map(
    (path) => [path, RUN] as const,
  ),
  ...(["null", "zero", "full", "random", "urandom"] as const).map(
    (name) => [`/dev/${name}`, DEVICE] as const,
  ),
];

const PROFILES: Readonly<Record<string, LandlockPolicy>> = {
  "dbus-bridge": {
    paths: [
      ...EVERYWHERE,
      ["/dev", DEVICE],
      ...(["/tmp", "/run/systemd", "/dev/shm", "/dev/mqueue"] as const).map(
        (path) => [path, WRITE] as const,
      ),
      ["/var/lib/systemd/linger", WRITE],
      ["/sys/fs/cgroup", [...SET, "makeFolder", "removeFolder"]],
      ["/sys/power", SET],
    ],
    // Those of sessions, which it has not started.
    signals: true,
  },
  notifyd: {
    paths: [...EVERYWHERE, ["/tmp", WRITE], ["/run/lainos/notify", WRITE]],
    signals: false,
  },
  "ghost-units": {
    paths: [...EVERYWHERE, ["/tmp", WRITE], ["/run/systemd", WRITE]],
    signals: false,
  },
  "net-init": {
    paths: [...EVERYWHERE, ["/tmp", WRITE], ["/proc/sys", SET]],
    signals: false,
  },
};

/**
 * Restricts this process by Landlock, where the kernel has it, and comes back where that holds.
 *
 * A thread can restrict itself alone, and Bun has several from its start. So the first of them does
 * it and executes this same program again: what that starts is restricted whole.
 *
 * @param sandbox the name of a profile; one that is not here is not restricted
 * @throws {SystemError} the kernel refuses
 */
export async function restrictFiles(sandbox: string): Promise<void> {
  if (process.env[VARIABLE] !== undefined) return;
  const policy = PROFILES[sandbox];
  if (policy === undefined) return;
  const { execute, landlockVersion, restrictThread } = await import("../linux/index.ts");
  const version = landlockVersion();
  if (version === 0) return;
  restrictThread(policy, version);
  const words = (await Bun.file("/proc/self/cmdline").text()).split("\0").slice(0, -1);
  const [name = ""] = words;
  // By the name that it was called by, which is also the process's.
  const path = isAbsolute(name) ? name : process.execPath;
  const environment = { ...process.env, [VARIABLE]: String(version) };
  execute(path, words, environment, { kept: givenDescriptors(words) });
}

/** What a daemon is given by the sandbox, by sd_listen_fds(3) and by OpenRC. */
function givenDescriptors(words: readonly string[]): number[] {
  const { LAINOS_OUTSIDE = "", LISTEN_PID, LISTEN_FDS } = process.env;
  const outside = [...LAINOS_OUTSIDE.matchAll(/:(\d+)/g)].map(([, fd]) => Number(fd));
  const count = LISTEN_PID === String(process.pid) ? Number(LISTEN_FDS) : 0;
  const listening = Array.from({ length: count }, (_, index) => 3 + index);
  const [, ready] = /--ready-?fd[ =](\d+)/i.exec(words.join(" ")) ?? [];
  return [...outside, ...listening, ...(ready === undefined ? [] : [Number(ready)])];
}
