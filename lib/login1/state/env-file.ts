/** State files, of the form that libsystemd's sd-login reads; see lib/sd-login. */
import { hasCode, writeFileAtomically } from "../../linux/index.ts";
import { formatState, type Values } from "../../sd-login/index.ts";
import { readPlainFile } from "../host/plain-file.ts";

/** Writes a state file whole, world-readable, by rename. */
export function saveState(path: string, values: Values): void {
  writeFileAtomically(path, formatState(values), 0o644);
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
