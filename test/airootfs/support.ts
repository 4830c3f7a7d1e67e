/** What the tests of the overlay's desktop share: a home made of the skel, and programs run in it. */
import { afterEach } from "bun:test";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";

export const AIROOTFS = resolve(import.meta.dir, "../../airootfs");
export const SKEL = join(AIROOTFS, "etc/skel");

/** Who the programs run as: Sway refuses root. The overflow ids of user_namespaces(7). */
const NOBODY = 65534;

const ends: (() => void | Promise<void>)[] = [];

/** Ends and removes after each test what `home`, `folder` and `startX` have made. */
export function cleanUp(): void {
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
}

/** A folder of nobody's for the time of a test. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-desktop-"));
  ends.push(() => rmSync(path, { recursive: true, force: true }));
  chownSync(path, NOBODY, NOBODY);
  return path;
}

/** A home as a new user has it. */
export function home(): string {
  const path = folder();
  cpSync(SKEL, path, { recursive: true });
  mkdirSync(join(path, "run"), { mode: 0o700 });
  for (const entry of readdirSync(path, { recursive: true, encoding: "utf8" })) {
    chownSync(join(path, entry), NOBODY, NOBODY);
  }
  return path;
}

/** A copy of a file of the overlay where nobody can read it: the checkout may be in root's home. */
export function copied(path: string): string {
  const copy = join(folder(), basename(path));
  cpSync(join(AIROOTFS, path), copy);
  return copy;
}

/** A folder of commands, each a script of sh by its name. */
export function commands(scripts: Readonly<Record<string, string>>): string {
  const path = folder();
  for (const [name, text] of Object.entries(scripts)) {
    writeFileSync(join(path, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(path, name), 0o755);
  }
  return path;
}

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

/** Runs a command as nobody, with no environment but what is given. */
export async function run(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<Ran> {
  const child = Bun.spawn(asNobody(words), {
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 20_000,
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, code };
}

function asNobody(words: readonly string[]): string[] {
  const ids = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  return ["/usr/bin/setpriv", ...ids, "--pdeathsig=KILL", ...words];
}

/** An X server that draws into memory, for the time of a test; returns DISPLAY. */
export async function startX(): Promise<string> {
  const server = Bun.spawn(
    asNobody(["Xvfb", "-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "800x600x24"]),
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  ends.push(async () => {
    server.kill();
    await server.exited;
  });
  const { value } = await server.stdout.getReader().read();
  const number = new TextDecoder().decode(value).trim();
  if (number === "") throw new Error(`Xvfb ended with ${await server.exited}`);
  return `:${number}`;
}

/** The files of the skel, as paths from its top. */
export function skelFiles(): string[] {
  return readdirSync(SKEL, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(SKEL.length + 1))
    .sort();
}
