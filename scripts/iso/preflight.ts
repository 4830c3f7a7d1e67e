/** What has to be so before the medium is built; each check says how to mend what is not. */
import { mkdir, mkdtemp, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "zx";
import { ensureHostPackages, HostError, hostKind } from "../host.ts";
import type { Reporter } from "../lib/progress.ts";
import type { Profile } from "./profile.ts";

/** Bytes that a build takes at its largest: the root, its squashfs and the image. */
export const SPACE = { arch: 14e9, debian: 4e9 } as const;

export type Base = keyof typeof SPACE;

/** @throws HostError where the file system of a folder has too little room. */
export async function checkSpace(folder: string, base: Base): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= SPACE[base]) return;
  throw new HostError(
    `${folder} has ${gigabytes(free)} GB free and a build takes ${gigabytes(SPACE[base])}: free some, or name another folder by --work`,
  );
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1);
}

/** @throws HostError where mkarchiso cannot run here. */
export async function checkArchHost(): Promise<void> {
  if ((await hostKind()) !== "arch") {
    throw new HostError(
      "mkarchiso builds from Arch's packages, on Arch: run this there, or use --base debian for the stand-in",
    );
  }
  await ensureHostPackages(["mkarchiso", "pacman", "xorriso", "mksquashfs", "mkfs.fat", "mcopy"]);
  await ensureHostPackages(["grub-mkstandalone", "unshare"]);
}

/**
 * Asks every repository for its database and resolves every package of the profile, in a database of
 * its own.
 * @param config the pacman.conf that mkarchiso will be given.
 * @throws HostError that names the repository that does not answer, or the packages that none has.
 */
export async function checkPackages(
  config: string,
  profile: Profile,
  report: Reporter,
  signal: AbortSignal,
): Promise<void> {
  const folder = await mkdtemp("/tmp/protocol7-resolve-");
  const pacman = $({ nothrow: true, quiet: true, signal });
  const flags = ["--config", config, "--dbpath", folder, "--cachedir", folder, "--noconfirm"];
  const words = ["--root", join(folder, "root"), "--logfile", "/dev/null"];
  try {
    await mkdir(join(folder, "root"));
    await report.step("Repositories", async () => {
      const done = await pacman`pacman ${flags} ${words} -Sy`;
      signal.throwIfAborted();
      if (done.exitCode === 0) return;
      if (UNTRUSTED.test(done.stderr)) {
        throw new HostError(
          `pacman does not trust a repository of ${config}: ${said(done.stderr, UNTRUSTED)}; if it is ours, pacman-key --add packages/lainos-keyring/lainos.pub and pacman-key --lsign-key its fingerprint`,
        );
      }
      throw new HostError(
        `a repository of ${config} does not answer: ${lastLine(done.stderr)}; look at its Server line and the network`,
      );
    });
    await report.step("Packages", async () => {
      const done = await pacman`pacman ${flags} ${words} -S --print ${profile.packages}`;
      signal.throwIfAborted();
      if (done.exitCode === 0) return;
      const names = [...done.stderr.matchAll(/target not found: (\S+)/g)].map(([, name]) => name);
      throw new HostError(
        names.length > 0
          ? `no repository has ${names.join(", ")}: correct profile/packages.x86_64, or build them by bun run repo`
          : `the packages do not go together: ${lastLine(done.stderr)}`,
      );
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What pacman says of a repository that is not signed, or not by a key that it trusts. */
const UNTRUSTED =
  /failed retrieving file '\S+\.sig'|missing required signature|key "\S+" (is|could not)|unknown trust/;

/** The line that fits. */
function said(text: string, pattern: RegExp): string {
  return text.split("\n").find((line) => pattern.test(line)) ?? lastLine(text);
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
