/** makepkg in a clean chroot, where Arch's devtools are. */
import { mkdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { $ } from "zx";
import { hostKind } from "../host.ts";
import { lastWords, type MakepkgJob, makepkg, PackageError } from "../makepkg.ts";

/** On Arch, as root, with devtools installed. */
export async function hasChrootTools(): Promise<boolean> {
  const tools = ["makechrootpkg", "mkarchroot", "arch-nspawn"];
  if (process.geteuid?.() !== 0 || !tools.every((tool) => Bun.which(tool))) return false;
  return (await hostKind()) === "arch";
}

/**
 * Builds as makepkg() does, but with nothing installed except base-devel and what the PKGBUILD
 * names: a dependency that is missing there makes the build fail.
 * @param folder holds the chroot, which is made where there is none and brought up to date once.
 */
export async function buildInChroot(job: MakepkgJob, folder: string): Promise<string> {
  ready ??= prepare(folder);
  await ready;
  // A copy of the chroot for each package: several build at once.
  const own = ["-c", "-r", folder, "-U", "nobody", "-l", basename(job.stage)];
  return await makepkg({ ...job, command: ["makechrootpkg", ...own, "--", "--noconfirm"] });
}

let ready: Promise<void> | undefined;

async function prepare(folder: string): Promise<void> {
  const run = $({ nothrow: true, quiet: true });
  const root = join(folder, "root");
  await mkdir(folder, { recursive: true });
  const done = (await stat(root).catch(() => undefined))
    ? await run`arch-nspawn ${root} pacman -Syu --noconfirm`
    : await run`mkarchroot ${root} base-devel`;
  if (done.exitCode !== 0) {
    throw new PackageError(
      `the clean chroot ${root} cannot be made ready: ${lastWords(done.stderr)}; remove ${folder} to have it made anew`,
    );
  }
}
