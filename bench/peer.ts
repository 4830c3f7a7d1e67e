/**
 * What ours is measured beside: elogind, Debian's build of it, fetched and unpacked into our cache and
 * never installed, and the tools root's own systemd-logind.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { $ } from "zx";
import { cacheDir, ensureHostPackages, HostError, hostKind } from "../scripts/host.ts";
import type { World } from "../test/login1/support/world.ts";

const PACKAGE = "elogind";

/** An unpacked elogind. */
export interface Peer {
  version: string;
  /** Where it is unpacked. */
  folder: string;
  executable: string;
  /** Where its private library is. */
  libraries: string;
  /** Its configuration, which is /etc in the world that it runs in. */
  etc: string;
}

/** A login1 server to be started in a world of its own. */
export interface Server {
  name: string;
  command: string[];
  environment: Record<string, string>;
  /** A folder to be laid over /etc in its world. */
  etc?: string;
  /** What has to run before it; it writes a line when it is ready. */
  needs?: string[];
  /** Policies of the bus that its package has. */
  policies?: string[];
}

const run = $({ nothrow: true, quiet: true });

/**
 * elogind as this Debian has it, from the cache or its mirror.
 *
 * @throws {HostError} on another system, and where it cannot be had
 */
export async function fetchElogind(): Promise<Peer> {
  if ((await hostKind()) !== "debian") {
    throw new HostError("elogind is compared as Debian builds it: run this on Debian");
  }
  await ensureHostPackages(["apt-get", "dpkg-deb"]);
  const cache = join(cacheDir(), "bench");
  const folder = join(cache, "elogind-forky");
  if (!existsSync(folder)) {
    mkdirSync(cache, { recursive: true });
    const work = mkdtempSync(join(cache, ".elogind-"));
    try {
      await unpack(work);
      renameSync(join(work, "root"), folder);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  const libraries = join(folder, "usr/lib/x86_64-linux-gnu/elogind");
  const executable = join(folder, "usr/libexec/elogind");
  const linked = await run({
    env: { ...process.env, LD_LIBRARY_PATH: libraries },
  })`ldd ${executable}`;
  const lacking = /^\s*(\S+) => not found$/m.exec(linked.stdout)?.[1];
  if (lacking !== undefined) throw new HostError(`elogind needs ${lacking}: install its package`);
  const version = (await Bun.file(join(folder, "version")).text()).trim();
  return { version, folder, executable, libraries, etc: join(folder, "etc") };
}

async function unpack(work: string): Promise<void> {
  // Fetched as the user that we are: apt's own may not write there.
  const download = () =>
    run({ cwd: work })`apt-get -q -o APT::Sandbox::User=root download ${PACKAGE}`;
  let downloaded = await download();
  if (downloaded.exitCode !== 0) {
    // A mirror may be a stored copy, whose Release file has run out.
    await run`apt-get -q -o Acquire::Check-Valid-Until=false update`;
    downloaded = await download();
  }
  if (downloaded.exitCode !== 0) {
    throw new HostError(
      `elogind cannot be fetched: ${downloaded.stderr.trim().split("\n").at(-1)}`,
    );
  }
  const root = join(work, "root");
  for (const archive of new Bun.Glob("*.deb").scanSync(work)) {
    const unpacked = await run`dpkg-deb --extract ${join(work, archive)} ${root}`;
    if (unpacked.exitCode !== 0) throw new HostError(`${archive}: ${unpacked.stderr.trim()}`);
    if (!archive.startsWith("elogind_")) continue;
    const { stdout } = await run`dpkg-deb --field ${join(work, archive)} Version`;
    await Bun.write(join(root, "version"), stdout);
  }
}

const LOGIND = "/usr/lib/systemd/systemd-logind";

/**
 * The version of systemd-logind.
 *
 * @throws {HostError} where there is none
 */
export async function logindVersion(): Promise<string> {
  if (!existsSync(LOGIND)) throw new HostError(`there is no ${LOGIND}`);
  const { stdout } = await run`${LOGIND} --version`;
  return /^systemd \d+ \((.+)\)$/m.exec(stdout)?.[1] ?? stdout.trim();
}

/** systemd-logind as a server to be started, with what stands for PID 1 beside it. */
export function logindServer(systemd1: string): Server {
  return {
    name: "systemd-logind",
    command: [LOGIND],
    environment: {},
    needs: [systemd1],
    policies: ["org.freedesktop.systemd1.conf"],
  };
}

/** elogind as a server to be started. */
export function elogindServer({ executable, libraries, etc }: Peer): Server {
  const environment = { LD_LIBRARY_PATH: libraries };
  return { name: "elogind", command: [executable], environment, etc };
}

/**
 * Lays a folder over /etc of a world.
 *
 * @throws {Error} with mount's words
 */
export async function layOverEtc(world: World, etc: string): Promise<void> {
  const layers = `lowerdir=${etc}:/etc`;
  const mounted = await world.run(["mount", "-t", "overlay", "-o", layers, "overlay", "/etc"]);
  if (mounted.code !== 0) throw new Error(`${etc} over /etc: ${mounted.stderr}`);
}
