/** State files, of the form that libsystemd's sd-login reads; see lib/sd-login. */
import { hasCode, removeFile, writeFileAtomically } from "../../linux/index.ts";
import { formatState, parseState, type Values } from "../../sd-login/index.ts";
import { readPlainFile } from "../host/plain-file.ts";

/** Writes a state file whole, world-readable, by rename. */
export function saveState(path: string, values: Values): void {
  writeFileAtomically(path, formatState(values), 0o644);
}

/** Removes a state file, if it is there. */
export function removeState(path: string): void {
  removeFile(path);
}

/** The text of a state file; undefined if there is none. */
export function readState(path: string): string | undefined {
  try {
    return readPlainFile(path, "state").toString();
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Reads a state file; undefined if there is none. */
export function loadState(path: string): Map<string, string> | undefined {
  const text = readState(path);
  return text === undefined ? undefined : parseState(text);
}
