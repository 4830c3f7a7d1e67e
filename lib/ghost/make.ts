/** Makes the folders, corrects them, and says what is in their way. */
import { chmodSync, lstatSync, mkdirSync, readdirSync, rmdirSync, type Stats } from "node:fs";
import { dirname, join } from "node:path";
import { Failure } from "../cli/index.ts";
import { changeOwner, hasCode, messageOf } from "../linux/index.ts";
import { FOLDERS, type Folder } from "./table.ts";

/** Something about one path that is not as the table has it. */
export interface Difference {
  path: string;
  /** In words, after the path: "is missing". */
  what: string;
  /** Only a person can mend it; it was left alone. */
  blocked: boolean;
}

/** The socket of lainos-notifyd, at which the C original made a folder. */
const NOTIFY_SOCKET = "systemd/notify";

/** The mode as chmod(1) takes it. */
const octal = (mode: number) => `0${(mode & 0o7777).toString(8)}`;

function kindOf(stats: Stats): string {
  if (stats.isSymbolicLink()) return "a symbolic link";
  if (stats.isDirectory()) return "a folder";
  if (stats.isFile()) return "a file";
  if (stats.isSocket()) return "a socket";
  if (stats.isFIFO()) return "a fifo";
  return "a device";
}

/** lstat(2): a symbolic link is seen, not followed. */
function look(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** One walk through the table, which looks and, if it is to, mends. */
class Walk {
  readonly found: Difference[] = [];
  /** Folders that are not there and could not be made: nothing can be in them. */
  readonly #lacking = new Set<string>();

  constructor(
    readonly run: string,
    readonly mends: boolean,
  ) {}

  /** Notes something that only a person can mend. */
  #blocked(path: string, what: string): void {
    this.found.push({ path, what, blocked: true });
  }

  /** Notes a difference and, if this walk mends, mends it; false if that failed. */
  #differs(path: string, what: string, mend: () => void): boolean {
    try {
      if (this.mends) mend();
    } catch (error) {
      const why = messageOf(error);
      this.#blocked(path, `${what}, and that could not be mended: ${why}`);
      return false;
    }
    this.found.push({ path, what, blocked: false });
    return true;
  }

  /** A folder of the table. */
  folder({ path: name, mode }: Folder): void {
    const path = join(this.run, name);
    if (this.#lacking.has(dirname(path))) return;
    if (!look(path)) {
      // mkdir(2) takes the umask off the mode, so it is looked at once more below.
      const made = this.#differs(path, "is missing", () => mkdirSync(path, { mode }));
      if (!made) this.#lacking.add(path);
    }
    const stats = look(path);
    if (!stats) return;
    if (!stats.isDirectory()) {
      this.#lacking.add(path);
      const what = `is ${kindOf(stats)} where a folder must be`;
      this.#blocked(path, `${what}: remove it and start this again`);
      return;
    }
    // /run is root's alone, and by now so is each folder above this one: nobody
    // else can put a link in this one's place between the look and the change.
    if (stats.uid !== 0 || stats.gid !== 0) {
      const what = `belongs to ${stats.uid}:${stats.gid} instead of 0:0`;
      this.#differs(path, what, () => changeOwner(path, 0, 0));
    }
    const found = stats.mode & 0o7777;
    if (found !== mode) {
      const what = `has the mode ${octal(found)} instead of ${octal(mode)}`;
      this.#differs(path, what, () => chmodSync(path, mode));
    }
  }

  /** The place of the notify socket: nothing, or a socket. */
  notifySocket(): void {
    const path = join(this.run, NOTIFY_SOCKET);
    if (this.#lacking.has(dirname(path))) return;
    const stats = look(path);
    if (!stats || stats.isSocket()) return;
    const where = "where lainos-notifyd needs its socket";
    if (!stats.isDirectory()) {
      this.#blocked(path, `is ${kindOf(stats)} ${where}: remove it and start this again`);
    } else if (readdirSync(path).length > 0) {
      this.#blocked(path, `is a folder with something in it ${where}: look at it and remove it`);
    } else {
      this.#differs(path, `is an empty folder ${where}`, () => rmdirSync(path));
    }
  }
}

function walk(root: string, mends: boolean): Difference[] {
  const run = join(root, "run");
  if (!look(run)?.isDirectory()) {
    throw new Failure(`${run} is not a folder: mount /run before this is started`);
  }
  const steps = new Walk(run, mends);
  for (const folder of FOLDERS) steps.folder(folder);
  steps.notifySocket();
  return steps.found;
}

/**
 * What differs from the table; changes nothing.
 *
 * @param root the root of the system to look at, "/" for this one
 * @throws {Failure} if there is no /run in it
 */
export function inspectTree(root: string): Difference[] {
  return walk(root, false);
}

/**
 * Makes what is missing and corrects owners and modes. What is in the way and
 * not ours to remove is left alone, and all the rest is done.
 *
 * @param root the root of the system to work on, "/" for this one
 * @returns what was mended and, marked as blocked, what was not
 * @throws {Failure} if there is no /run in it
 */
export function makeTree(root: string): Difference[] {
  return walk(root, true);
}
