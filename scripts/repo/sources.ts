/** Has the sources that a PKGBUILD names on this machine before makepkg runs. */
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { $ } from "zx";
import { PackageError } from "../makepkg.ts";
import type { Recipe } from "./recipe.ts";

/** A place that does not answer, or has not got what is asked for; or a file that others have to give. */
export class Unreachable extends PackageError {
  override name = "Unreachable";
}

/** Local sources that are in no checkout, since only the maintainers can give them. */
const MAINTAINERS = ["lainos-keyring/lainos.pub"];

/** How long a place may take to answer at all, in milliseconds. */
const PATIENCE = 20_000;

/** A word of source=: what it is kept as, and from where it comes. */
export function parseSource(word: string): { file: string; url: string | undefined } {
  const [, renamed, rest = word] = /^([^/]+)::(.+)$/.exec(word) ?? [];
  const isUrl = /^[a-z0-9+]+:\/\//.test(rest);
  return { file: renamed ?? basename(rest.replace(/[?#].*$/, "")), url: isUrl ? rest : undefined };
}

/**
 * Downloads what is not in FOLDER yet; a file appears there whole and with the right checksum.
 * @returns the files in FOLDER that the PKGBUILD takes.
 * @throws Unreachable with the URL, or the file that the maintainers have; PackageError where another
 * local source is missing or bytes differ.
 */
export async function ensureSources(
  recipe: Recipe,
  folder: string,
  onStep: (step: string) => void,
  signal: AbortSignal,
): Promise<string[]> {
  const files: string[] = [];
  for (const [at, word] of recipe.sources.entries()) {
    const { file, url } = parseSource(word);
    if (url === undefined) {
      const local = await stat(join(recipe.folder, file)).catch(() => undefined);
      if (local === undefined) {
        const isTheirs = MAINTAINERS.includes(`${recipe.name}/${file}`);
        throw new (isTheirs ? Unreachable : PackageError)(
          `${join(recipe.folder, file)} is missing: the PKGBUILD beside it says what it must be`,
        );
      }
    } else if (url.startsWith("git+")) {
      await checkGit(url, signal);
    } else {
      const place = join(folder, file);
      if (!(await Bun.file(place).exists())) {
        onStep(`downloading ${file}`);
        await mkdir(folder, { recursive: true });
        await download(url, place, recipe.sha256sums[at], signal);
      }
      files.push(place);
    }
  }
  return files;
}

/** makepkg clones it; this says beforehand whether it can. */
async function checkGit(source: string, signal: AbortSignal): Promise<void> {
  const url = source.replace(/^git\+/, "").replace(/[?#].*$/, "");
  const git = $({ nothrow: true, quiet: true, signal, timeout: PATIENCE });
  const done = await git`git ls-remote --quiet ${url} HEAD`;
  signal.throwIfAborted();
  if (done.exitCode !== 0) throw new Unreachable(`source unreachable: ${url}`);
}

async function download(
  url: string,
  file: string,
  sha256: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const impatient = new AbortController();
  const timer = setTimeout(() => impatient.abort(), PATIENCE);
  const response = await fetch(url, { signal: AbortSignal.any([signal, impatient.signal]) }).catch(
    (error: Error) => {
      signal.throwIfAborted();
      throw new Unreachable(`source unreachable: ${url} (${error.message})`);
    },
  );
  clearTimeout(timer);
  if (!response.ok || response.body === null) {
    throw new Unreachable(`source unreachable: ${url} (status ${response.status})`);
  }
  const part = `${file}.part`;
  const hash = new Bun.CryptoHasher("sha256");
  const writer = Bun.file(part).writer();
  try {
    for await (const bytes of response.body) {
      hash.update(bytes);
      writer.write(bytes);
    }
    await writer.end();
    const found = hash.digest("hex");
    if (sha256 !== undefined && sha256 !== "SKIP" && sha256 !== found) {
      throw new PackageError(`${url} is not what the PKGBUILD expects: its SHA-256 is ${found}`);
    }
    await rename(part, file);
  } finally {
    await rm(part, { force: true });
  }
}
