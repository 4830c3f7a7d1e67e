/** Which desktop to start, and how: by its name, by what is installed, by the session files. */
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import { Failure } from "../cli/index.ts";
import { hasCode } from "../linux/index.ts";

export type DesktopKind = "wayland" | "x11";

/** A desktop that can be started. */
export interface Desktop {
  /** Its name, as XDG_SESSION_DESKTOP has it. */
  name: string;
  kind: DesktopKind;
  /** What XDG_CURRENT_DESKTOP lists, the most specific first. */
  currentDesktop: string[];
  /** The executable's absolute path. */
  path: string;
  /** What it is called with, the program's own name first. */
  argv: string[];
}

export type Environment = Record<string, string | undefined>;

interface Known {
  kind: DesktopKind;
  /** The executables that start it, the best one first. */
  executables: string[];
  /** The package of Arch that has it. */
  package: string;
}

// openbox-session reads the user's environment and autostart files, then becomes openbox.
const KNOWN: Record<string, Known> = {
  sway: { kind: "wayland", executables: ["sway"], package: "sway" },
  openbox: { kind: "x11", executables: ["openbox-session", "openbox"], package: "openbox" },
};

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/bin";
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$/;

/** The absolute path of an executable file, looked for in PATH; undefined if there is none. */
export function findExecutable(name: string, path: string | undefined): string | undefined {
  const places = name.includes("/")
    ? [name]
    : (path || DEFAULT_PATH).split(":").map((folder) => join(folder, name));
  return places.find((place) => isAbsolute(place) && isExecutable(place));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Whatever the reason, this one cannot be started; the next in PATH may be.
    return false;
  }
}

/**
 * Finds the desktop to start: the one asked for, else the one that XDG_SESSION_DESKTOP names, else
 * what is installed (sway first; openbox first where there is an X display and no Wayland one).
 *
 * A name is one that we know (sway, openbox), else that of a file in wayland-sessions or xsessions
 * below XDG_DATA_DIRS; see the XDG desktop entry specification.
 *
 * @throws {Failure} that names the desktop and the mend, if it is unknown, not installed, or an X11
 *   one without a display
 */
export function findDesktop(asked: string | undefined, environment: Environment): Desktop {
  const name = asked || environment.XDG_SESSION_DESKTOP || undefined;
  const desktop = name === undefined ? firstInstalled(environment) : byName(name, environment);
  if (desktop.kind === "x11" && !environment.DISPLAY) {
    throw new Failure(
      `${desktop.name} runs under X and DISPLAY is not set: start it by lainos-session-openbox, ` +
        "or by xinit",
    );
  }
  return desktop;
}

function firstInstalled(environment: Environment): Desktop {
  const inX = environment.DISPLAY && !environment.WAYLAND_DISPLAY;
  const order = inX ? ["openbox", "sway"] : ["sway", "openbox"];
  for (const name of order) {
    const desktop = knownDesktop(name, environment);
    if (desktop) return desktop;
  }
  throw new Failure(
    `no desktop is installed: neither sway nor openbox is in ${environment.PATH || DEFAULT_PATH} ` +
      "(pacman -S sway)",
  );
}

function byName(name: string, environment: Environment): Desktop {
  if (!NAME.test(name)) throw new Failure(`${name} cannot be the name of a desktop`);
  const lower = name.toLowerCase();
  const known = Object.hasOwn(KNOWN, lower) ? KNOWN[lower] : undefined;
  const desktop = known ? knownDesktop(lower, environment) : fromSessionFile(name, environment);
  if (desktop) return desktop;
  const installed = Object.keys(KNOWN).filter((other) => knownDesktop(other, environment));
  const mend = known ? `pacman -S ${known.package}` : "install the package that has it";
  const instead = installed.length > 0 ? `, or ask for ${installed.join(" or ")}` : "";
  const where = known
    ? `no ${known.executables.join(" or ")} in ${environment.PATH || DEFAULT_PATH}`
    : `no ${name}.desktop in ${sessionFolders(environment)
        .map(({ folder }) => folder)
        .join(", ")}`;
  throw new Failure(`the desktop ${name} is not installed: ${where} (${mend}${instead})`);
}

function knownDesktop(name: string, environment: Environment): Desktop | undefined {
  const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : undefined;
  for (const executable of known?.executables ?? []) {
    const path = findExecutable(executable, environment.PATH);
    if (known && path !== undefined) {
      return { name, kind: known.kind, currentDesktop: [name], path, argv: [executable] };
    }
  }
  return undefined;
}

function sessionFolders(environment: Environment) {
  const data = (environment.XDG_DATA_DIRS || "/usr/local/share:/usr/share").split(":");
  const kinds = [
    { subfolder: "wayland-sessions", kind: "wayland" },
    { subfolder: "xsessions", kind: "x11" },
  ] as const;
  return kinds.flatMap(({ subfolder, kind }) =>
    data.filter(isAbsolute).map((folder) => ({ folder: join(folder, subfolder), kind })),
  );
}

function fromSessionFile(name: string, environment: Environment): Desktop | undefined {
  for (const { folder, kind } of sessionFolders(environment)) {
    const file = join(folder, `${name}.desktop`);
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENOTDIR")) continue;
      throw new Failure(`${file} cannot be read: ${(error as Error).message}`);
    }
    const entry = parseDesktopEntry(text);
    const argv = splitExec(entry.get("Exec") ?? "");
    const program = argv?.[0];
    if (!argv || program === undefined) {
      throw new Failure(`${file}: its Exec line names no program; reinstall its package`);
    }
    // Our own session files start us for a desktop that we know: greeters name the file.
    const wrapped = /^lainos-session-(.+)$/.exec(basename(program))?.[1] ?? "";
    if (Object.hasOwn(KNOWN, wrapped)) return knownDesktop(wrapped, environment);
    // Anything else of ours would start us again, and that it.
    if (/^lainos-(session-|init$)/.test(basename(program))) {
      throw new Failure(`${file} starts ${program}, which starts this: ask for sway or openbox`);
    }
    for (const needed of [entry.get("TryExec") || program, program]) {
      if (findExecutable(needed, environment.PATH) === undefined) {
        throw new Failure(`${file} needs ${needed}, which is not installed; install its package`);
      }
    }
    const path = findExecutable(program, environment.PATH) ?? program;
    const listed = (entry.get("DesktopNames") ?? "").split(";").filter((word) => NAME.test(word));
    return { name, kind, currentDesktop: listed.length > 0 ? listed : [name], path, argv };
  }
  return undefined;
}

/** The keys of a desktop entry's main group, unlocalized, with their escapes (\s, \n, \t, \r, \\) resolved. */
export function parseDesktopEntry(text: string): Map<string, string> {
  const entry = new Map<string, string>();
  const escapes: Record<string, string> = { s: " ", n: "\n", t: "\t", r: "\r", "\\": "\\" };
  let inMain = false;
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("[")) inMain = line.trim() === "[Desktop Entry]";
    const [, key, value] = /^([A-Za-z0-9-]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (!inMain || key === undefined || value === undefined || entry.has(key)) continue;
    entry.set(
      key,
      value.replace(/\\([sntr\\])/g, (whole, letter: string) => escapes[letter] ?? whole),
    );
  }
  return entry;
}

/**
 * The words of an Exec line: split at white space, double quotes with backslash escapes resolved,
 * field codes (%f, %U, ...) left out, %% as one percent sign.
 *
 * @returns undefined if a quote is never closed
 */
export function splitExec(exec: string): string[] | undefined {
  const words: string[] = [];
  let rest = exec.trim();
  while (rest !== "") {
    const [whole, quoted, plain] = /^(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))\s*/.exec(rest) ?? [];
    if (whole === undefined) return undefined;
    rest = rest.slice(whole.length);
    if (quoted !== undefined) words.push(quoted.replace(/\\(.)/g, "$1"));
    else if (plain !== undefined && !/^%[a-zA-Z]$/.test(plain)) words.push(plain);
  }
  return words.map((word) => word.replaceAll("%%", "%"));
}
