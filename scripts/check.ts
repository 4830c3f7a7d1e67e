/**
 * What can be said about the sources without running them: `bun run check`. Types, lint (with how long
 * files and functions may be, in biome.json), every shell script, and that imports go in one direction
 * only. Exit status 1 if anything is wrong.
 */
import { lstat } from "node:fs/promises";
import { basename, dirname, join, normalize, resolve } from "node:path";
import { $ } from "zx";
import { layerProblem } from "./layers.ts";

const ROOT = resolve(import.meta.dir, "..");
const run = $({ nothrow: true, quiet: true, cwd: ROOT });

/** What one file imports from the files of the checkout. */
export interface Imports {
  /** All of them, types included. */
  readonly all: readonly string[];
  /** Those that are loaded when the file is. */
  readonly loaded: readonly string[];
}

/**
 * Domains that may use another one, through its index.ts. Every other domain stands by itself.
 */
export const DOMAIN_IMPORTS: Readonly<Record<string, readonly string[]>> = {};

/** Below the domains: what each may import. A lib folder that is not here is a domain. */
const BASE_IMPORTS: Readonly<Record<string, readonly string[]>> = {
  linux: [],
  "sd-login": [],
  cli: ["linux"],
  dbus: ["linux"],
  varlink: ["linux"],
};

/** What every domain may import. */
const DOMAINS_MAY_IMPORT = ["linux", "cli", "dbus", "varlink", "sd-login"];

/** Folders of tools, and which others of them each may import; of lib and cmd they may import all. */
const TOOLS: Readonly<Record<string, readonly string[]>> = {
  scripts: [],
  testbed: ["scripts"],
  test: ["scripts", "testbed", "bench"],
  bench: ["scripts", "testbed", "test"],
};

/**
 * The part of the program that a path belongs to: `lib/NAME`, or the top folder.
 * @example partOf("lib/login1/dbus/user.ts") // "lib/login1"
 */
export function partOf(path: string): string {
  const [top = "", second = ""] = path.split("/");
  return top === "lib" && second !== "" ? `lib/${second}` : top;
}

/**
 * Whether an import is against the direction test and bench, testbed, scripts, cmd, then lib's domains,
 * then lib/dbus and lib/linux.
 * @returns what is wrong with it, or undefined.
 */
export function importProblem(from: string, to: string): string | undefined {
  const source = partOf(from);
  const target = partOf(to);
  if (source === target) return layerProblem(source, from, to);
  // package.json at the top has the version in it.
  if (!to.includes("/")) return undefined;
  const tools = TOOLS[source];
  if (tools !== undefined) {
    const isAbove = Object.hasOwn(TOOLS, target) && !tools.includes(target);
    return isAbove ? `${source} may not import from ${target}` : undefined;
  }
  if (!target.startsWith("lib/")) return `${source} may not import from ${target}`;
  if (basename(to) !== "index.ts" || dirname(to).split("/").length > 2) {
    return `only ${target}/index.ts is for others`;
  }
  if (source === "cmd") return undefined;
  const name = source.slice("lib/".length);
  const allowed = BASE_IMPORTS[name] ?? [...DOMAINS_MAY_IMPORT, ...(DOMAIN_IMPORTS[name] ?? [])];
  if (allowed.includes(target.slice("lib/".length))) return undefined;
  return `${source} may not import from ${target}`;
}

/**
 * Circles among the files that load each other, each as the paths along it, its first at the end
 * again. Each circle is found once.
 */
export function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (file: string): void => {
    const at = trail.indexOf(file);
    if (at >= 0) {
      found.push([...trail.slice(at), file]);
      return;
    }
    if (done.has(file)) return;
    trail.push(file);
    for (const next of graph.get(file) ?? []) visit(next);
    trail.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return found;
}

const transpiler = new Bun.Transpiler({ loader: "ts" });

/** The files of the checkout that SOURCE, the text of the file PATH, imports. */
export function importsOf(path: string, source: string): Imports {
  const scan = (text: string): string[] => [
    ...new Set(
      transpiler
        .scanImports(text)
        .map((found) => found.path)
        .filter((name) => name.startsWith("."))
        .map((name) => normalize(join(dirname(path), name))),
    ),
  ];
  // The scanner leaves out what is only a type, as the compiler will; the direction holds for
  // types too.
  const typesToo = source.replaceAll(
    /^(\s*(?:import(?= type [\w*{])|export(?= type [*{]))) type /gm,
    "$1 ",
  );
  return { all: scan(typesToo), loaded: scan(source) };
}

/** How shellcheck is to read a file, or undefined for one that is no shell script. */
export function shellDialect(path: string, firstLine: string): "sh" | "bash" | undefined {
  const name = basename(path);
  if (name === "PKGBUILD") return "bash";
  if (name.endsWith(".install") || /(^|\/)(conf|init)\.d\/[^/]+$/.test(path)) return "sh";
  const shebang = /^#!\s*(?:\S*\/env\s+)?(\S+)/.exec(firstLine)?.[1];
  switch (shebang === undefined ? undefined : basename(shebang)) {
    case "bash":
      return "bash";
    case "sh":
    case "dash":
    case "openrc-run":
      return "sh";
    default:
      return name.endsWith(".sh") ? "sh" : undefined;
  }
}

/** What a check found: a line or more for each fault; empty if all is well. */
type Check = () => Promise<string[]>;

/** The files that git has or would take, as paths from the top; no links, which may lead outside. */
async function sources(): Promise<string[]> {
  const list = await run`git ls-files -z --cached --others --exclude-standard --deduplicate`;
  if (list.exitCode !== 0) throw new Error(`git ls-files: ${list.stderr.trim()}`);
  const names = list.stdout.split("\0").filter((name) => name !== "");
  const found = await Promise.all(
    names.map((name) => lstat(join(ROOT, name)).catch(() => undefined)),
  );
  return names.filter((_, at) => found[at]?.isFile());
}

const output = (done: { stdout: string; stderr: string; exitCode: number | null }): string[] =>
  done.exitCode === 0 ? [] : [`${done.stdout}${done.stderr}`.trimEnd()];

const types: Check = async () => output(await run`node_modules/.bin/tsc --noEmit --pretty false`);

const lint: Check = async () =>
  output(await run`node_modules/.bin/biome check --error-on-warnings --colors=off`);

const shell: Check = async () => {
  const scripts = new Map<string, string[]>();
  for (const path of await sources()) {
    const start = await Bun.file(join(ROOT, path)).slice(0, 200).text();
    const dialect = shellDialect(path, start.split("\n", 1)[0] ?? "");
    if (dialect === undefined) continue;
    // They set variables that makepkg or openrc-run reads, and read what it sets.
    const given =
      basename(path) === "PKGBUILD" || path.includes("/conf.d/") || /openrc-run/.test(start);
    const kind = `${dialect} ${given ? "SC2034,SC2154" : ""}`;
    scripts.set(kind, [...(scripts.get(kind) ?? []), path]);
  }
  if (Bun.which("shellcheck") === null) return ["shellcheck is not installed: install it"];
  const faults: string[] = [];
  for (const [kind, paths] of scripts) {
    const [dialect, excluded] = kind.split(" ");
    const leaveOut = excluded ? [`--exclude=${excluded}`] : [];
    faults.push(
      ...output(await run`shellcheck -x --format=gcc --shell=${dialect} ${leaveOut} ${paths}`),
    );
  }
  return faults;
};

/** The longest that a file of lib or cmd may be, in lines; functions have their limit in biome.json. */
const MOST_LINES = 400;

const lengths: Check = async () => {
  const faults: string[] = [];
  for (const path of await sources()) {
    if (!/^(cmd|lib)\/.*\.ts$/.test(path)) continue;
    const lines = (await Bun.file(join(ROOT, path)).text()).split("\n").length - 1;
    if (lines > MOST_LINES) {
      faults.push(`${path}: ${lines} lines, and ${MOST_LINES} are the most: divide it`);
    }
  }
  return faults;
};

/**
 * Whether a source runs programs by Bun's own shell, whose built-in rm, mv, ls and so on stand in for the
 * system's and know few of their options: `rm --one-file-system --` fails, and nothing is removed.
 */
export function usesBunShell(text: string): boolean {
  return /\bBun\.\$|\bimport\s*\{[^}]*\$[\s,}][^;]*?\bfrom\s*["']bun["']/.test(text);
}

const imports: Check = async () => {
  const faults: string[] = [];
  const graph = new Map<string, readonly string[]>();
  for (const path of await sources()) {
    if (!/^(cmd|lib|scripts|testbed|test|bench)\/.*\.ts$/.test(path)) continue;
    const text = await Bun.file(join(ROOT, path)).text();
    if (!path.startsWith("test/") && usesBunShell(text)) {
      faults.push(
        `${path}: uses Bun's shell, whose built-ins stand in for programs: use Bun.spawn or zx`,
      );
    }
    const found = importsOf(path, text);
    // In lib types count too: what one file must know of another to be read.
    graph.set(path, path.startsWith("lib/") ? found.all : found.loaded);
    for (const to of found.all) {
      const problem = importProblem(path, to);
      if (problem !== undefined) faults.push(`${path}: imports ${to}: ${problem}`);
    }
  }
  for (const circle of circles(graph)) faults.push(`in a circle: ${circle.join(" -> ")}`);
  return faults;
};

/** All checks, in the order in which they are reported. */
const CHECKS: Readonly<Record<string, Check>> = { types, lint, shell, imports, lengths };

if (import.meta.main) {
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !Object.hasOwn(CHECKS, name));
  if (unknown.length > 0) {
    console.error(
      `check: there is no check ${unknown.join(", ")}: the names are ${Object.keys(CHECKS).join(", ")}`,
    );
    process.exit(2);
  }
  const chosen = Object.entries(CHECKS).filter(
    ([name]) => wanted.length === 0 || wanted.includes(name),
  );
  const results = await Promise.all(
    chosen.map(async ([name, check]) => {
      const started = performance.now();
      const faults = await check();
      return { name, faults, seconds: (performance.now() - started) / 1000 };
    }),
  );
  for (const { name, faults } of results) {
    if (faults.length > 0) console.log(`${name}:\n${faults.join("\n")}\n`);
  }
  for (const { name, faults, seconds } of results) {
    console.log(
      `${name.padEnd(8)} ${faults.length === 0 ? "ok    " : "failed"} ${seconds.toFixed(1)} s`,
    );
  }
  process.exitCode = results.some(({ faults }) => faults.length > 0) ? 1 : 0;
}
