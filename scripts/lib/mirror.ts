/** Where the Debian packages of the test system come from: the mirrors that the host itself uses. */
import { $ } from "zx";
import { hostKind } from "../host.ts";

/** Releases of Debian: testing, whose parts are about as new as Arch's, and the oldest whose parts are supported. */
export type Suite = "forky" | "bookworm";

const DEFAULT_MIRROR = "http://deb.debian.org/debian";
const DEFAULT_SECURITY = "http://deb.debian.org/debian-security";

/**
 * The one-line sources for a release. apt reads the host's configuration for us, so that both of its
 * formats, its options and its proxies count; `--print-uris` needs no downloaded lists.
 */
export async function debianSources(suite: string): Promise<string[]> {
  const { mirror, security } = (await isDebian()) ? await hostMirrors() : {};
  const main = mirror ?? DEFAULT_MIRROR;
  return [
    `deb ${main} ${suite} main`,
    `deb ${main} ${suite}-updates main`,
    `deb ${security ?? DEFAULT_SECURITY} ${suite}-security main`,
  ];
}

/** An Ubuntu counts as Debian for its tools, but its mirrors carry no Debian release. */
async function isDebian(): Promise<boolean> {
  if ((await hostKind()) !== "debian") return false;
  return /^ID="?debian"?$/m.test(await Bun.file("/etc/os-release").text());
}

interface Mirrors {
  readonly mirror?: string;
  readonly security?: string;
}

async function hostMirrors(): Promise<Mirrors> {
  const result = await $({ nothrow: true, quiet: true })`apt-get update --print-uris`;
  return mirrorsFrom(result.stdout);
}

/** Reads lines like `'http://host/debian/dists/bookworm/InRelease' host_..._InRelease 0`. */
export function mirrorsFrom(printedUris: string): Mirrors {
  const found: { mirror?: string; security?: string } = {};
  for (const [, base, suite] of printedUris.matchAll(/^'([^']+?)\/dists\/([^']+)\/InRelease'/gm)) {
    if (base === undefined || suite === undefined) continue;
    if (suite.endsWith("-security")) found.security ??= base;
    else if (/^(bookworm|trixie|forky|sid|stable|testing|unstable)$/.test(suite))
      found.mirror ??= base;
  }
  return found;
}
