/** Has the sources that a PKGBUILD names on this machine before makepkg runs. */
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
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

/** How long a place may take to answer at all, and then for each piece of it, in milliseconds. */
const PATIENCE = 20_000;

/** A word of source=: what it is kept as, and from where it comes. */
export function parseSource(word: string): { file: string; url: string | undefined } {
  const [, renamed, rest = word] = /^([^/]+)::(.+)$/.exec(word) ?? [];
  const isUrl = /^[a-z0-9+]+:\/\//.test(rest);
  return { file: renamed ?? basename(rest.replace(/[?#].*$/, "")), url: isUrl ? rest : undefined };
}

/**
 * Downloads what is not in FOLDER yet, or is there with another checksum, of what the PKGBUILD took
 * before; a file appears there whole and with the right one.
 * @param patience how long a place may say nothing, in milliseconds.
 * @returns the files in FOLDER that the PKGBUILD takes.
 * @throws Unreachable with the URL, or the file that the maintainers have; PackageError where another
 * local source is missing or bytes differ.
 */
export async function ensureSources(
  recipe: Recipe,
  folder: string,
  onStep: (step: string) => void,
  signal: AbortSignal,
  patience = PATIENCE,
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
      const sum = recipe.sha256sums[at];
      if (!(await isThere(place, sum))) {
        onStep(`downloading ${file}`);
        await mkdir(folder, { recursive: true });
        await download(url, place, sum, { signal, patience });
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

/** Whether a file is there with that checksum, where there is one. */
async function isThere(file: string, sha256: string | undefined): Promise<boolean> {
  if (!(await Bun.file(file).exists())) return false;
  if (!isSum(sha256)) return true;
  const hash = new Bun.CryptoHasher("sha256");
  for await (const bytes of createReadStream(file)) hash.update(bytes);
  return hash.digest("hex") === sha256;
}

const isSum = (word: string | undefined): word is string => word !== undefined && word !== "SKIP";

interface Patience {
  readonly signal: AbortSignal;
  readonly patience: number;
}

async function download(
  url: string,
  file: string,
  sha256: string | undefined,
  patience: Patience,
): Promise<void> {
  const part = `${file}.part`;
  const target = await open(part, "w");
  try {
    const found = await receive(url, target, patience);
    if (isSum(sha256) && sha256 !== found) {
      throw new PackageError(`${url} is not what the PKGBUILD expects: its SHA-256 is ${found}`);
    }
    await rename(part, file);
  } finally {
    await target.close();
    await rm(part, { force: true });
  }
}

/** Writes what a place answers. @returns its SHA-256. @throws Unreachable where it breaks off or stalls. */
async function receive(
  url: string,
  target: FileHandle,
  { signal, patience }: Patience,
): Promise<string> {
  const impatient = new AbortController();
  /** Waits for the next piece of the answer; what fails here is the place's fault. */
  const next = async <T>(piece: Promise<T>): Promise<T> => {
    const why = `no answer for ${patience / 1000} seconds`;
    const timer = setTimeout(() => impatient.abort(new Error(why)), patience);
    try {
      return await piece;
    } catch (error) {
      signal.throwIfAborted();
      const { message } = impatient.signal.aborted ? impatient.signal.reason : error;
      throw new Unreachable(`source unreachable: ${url} (${message})`);
    } finally {
      clearTimeout(timer);
    }
  };
  const response = await next(fetch(url, { signal: AbortSignal.any([signal, impatient.signal]) }));
  if (!response.ok || response.body === null) {
    throw new Unreachable(`source unreachable: ${url} (status ${response.status})`);
  }
  const hash = new Bun.CryptoHasher("sha256");
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await next(reader.read());
      if (done) return hash.digest("hex");
      hash.update(value);
      await target.writeFile(value);
    }
  } finally {
    // Where writing failed the connection is still open.
    impatient.abort();
  }
}
