/** Writes the settings, reads each back, and says how it went. */
import { closeSync, constants, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { columns } from "../cli/index.ts";
import { hasCode, messageOf } from "../linux/index.ts";
import { HARDENING, type Hardening, type Scope, scopeOf } from "./table.ts";

/** How one key stands. */
export interface KeyResult {
  /** As sysctl(8) writes it; a dot inside an interface's name is a slash there. */
  key: string;
  wanted: string;
  /** What the kernel says now; undefined if it cannot be read. */
  found: string | undefined;
  /**
   * right: it was so already. set: it is so now. differs: it is not, and nothing
   * was tried, or is to be. lacking: this kernel has no such key. failed: it could not be set.
   */
  state: "right" | "set" | "differs" | "lacking" | "failed";
  /** Why it failed, or why it matters. */
  why: string;
}

const SYSCTL_HEAD = `# Written by lainos-net-init --sysctl, from the same table that it sets at boot.
# To keep another value: --except KEY in /etc/conf.d/lainos-net-init, and a file
# here that comes after this one.
`;

const notation = (path: string) =>
  path
    .split("/")
    .map((part) => part.replaceAll(".", "/"))
    .join(".");

/** A key's value without its newline; undefined where there is no such key. */
function readKey(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** Never makes a file: a key that the kernel lacks must not seem to be set. */
function writeKey(file: string, value: string): void {
  const fd = openSync(file, constants.O_WRONLY | constants.O_TRUNC);
  try {
    writeSync(fd, value);
  } finally {
    closeSync(fd);
  }
}

/**
 * The paths that a key with a `*` stands for, `default` before the interfaces:
 * one that appears meanwhile begins with the new value.
 */
function* expand(procSys: string, { key }: Hardening): Generator<string> {
  const [before, after] = key.split("*");
  if (before === undefined || after === undefined) {
    yield key;
    return;
  }
  const generic = ["all", "default"];
  for (const name of generic) yield `${before}${name}${after}`;
  let interfaces: string[];
  try {
    interfaces = readdirSync(join(procSys, before));
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return;
    throw error;
  }
  for (const name of interfaces.sort())
    if (!generic.includes(name)) yield `${before}${name}${after}`;
}

/**
 * The keys as a file of sysctl.d(5), whose `*` stands for every name there is. A
 * dash before a key lets sysctl(8) pass over it where the kernel lacks it. Values that the kernel never
 * takes back are left out.
 */
export function sysctlFile(): string {
  const rows = HARDENING.filter(({ final }) => !final).map(
    ({ key, value, reason }) => `# ${reason}\n-${notation(key)} = ${value}\n`,
  );
  return `${SYSCTL_HEAD}\n${rows.join("\n")}`;
}

function treat(procSys: string, path: string, row: Hardening, apply: boolean): KeyResult {
  const file = join(procSys, path);
  const result: KeyResult = {
    key: notation(path),
    wanted: row.value,
    found: undefined,
    state: "right",
    why: row.reason,
  };
  try {
    result.found = readKey(file);
    if (result.found === undefined) return { ...result, state: "lacking" };
    if (result.found === row.value || row.stronger?.includes(result.found)) return result;
    if (!apply) return { ...result, state: "differs" };
    writeKey(file, row.value);
    result.found = readKey(file);
    if (result.found === row.value) return { ...result, state: "set" };
    return { ...result, state: "failed", why: "the kernel took the value and kept another" };
  } catch (error) {
    if (row.beforehand && hasCode(error, "EROFS", "EACCES", "EPERM")) {
      return {
        ...result,
        state: "differs",
        why: "another value was set before the sandbox closed",
      };
    }
    return { ...result, state: "failed", why: messageOf(error) };
  }
}

/** Which rows of the table. */
export interface Choice {
  scopes: readonly Scope[];
  /** Keys that the system's owner wants otherwise, as sysctl(8) writes them, `*` and all. */
  except: readonly string[];
}

/** The table's keys, as sysctl(8) writes them. */
export function hardeningKeys(): string[] {
  return HARDENING.map(({ key }) => notation(key));
}

function go(procSys: string, { scopes, except }: Choice, apply: boolean): KeyResult[] {
  const results: KeyResult[] = [];
  for (const row of HARDENING) {
    if (!scopes.includes(scopeOf(row))) continue;
    if (except.includes(notation(row.key))) continue;
    const own: KeyResult[] = [];
    for (const path of expand(procSys, row)) own.push(treat(procSys, path, row, apply));
    // One line is enough for a kernel without IPv6.
    if (own.length > 1 && own.every(({ state }) => state === "lacking")) {
      results.push({ ...(own[0] as KeyResult), key: notation(row.key) });
    } else {
      results.push(...own);
    }
  }
  return results;
}

/**
 * Sets what is not yet as the table has it, and reads each key back.
 *
 * @param procSys /proc/sys, or what stands for it
 */
export function applyHardening(procSys: string, choice: Choice): KeyResult[] {
  return go(procSys, choice, true);
}

/** Compares and changes nothing; parameters as of `applyHardening`. */
export function compareHardening(procSys: string, choice: Choice): KeyResult[] {
  return go(procSys, choice, false);
}

/** The results in columns, a line each, under a heading. */
export function formatTable(results: readonly KeyResult[]): string[] {
  return columns([
    ["STATE", "KEY", "WANTED", "FOUND", "WHY"],
    ...results.map(({ state, key, wanted, found, why }) => [state, key, wanted, found ?? "-", why]),
  ]);
}
