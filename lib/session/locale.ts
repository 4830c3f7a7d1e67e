/** The system's locale, which systemd's first process would give to every session. */
import { readFileSync } from "node:fs";
import { hasCode } from "../linux/index.ts";
import type { Environment } from "./desktop.ts";

const NAME = /^(LANG|LANGUAGE|LC_[A-Z]+)$/;

/**
 * What /etc/locale.conf sets, as locale.conf(5) has it: a variable a line, its value as it is or in
 * quotes. Lines that are something else are left out, as systemd does.
 *
 * @returns nothing where there is no such file
 * @throws the error of the file system where it cannot be read
 */
export function localeVariables(file = "/etc/locale.conf"): Environment {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return {};
    throw error;
  }
  const found: Environment = {};
  for (const line of text.split("\n")) {
    const [, name = "", plain] = /^\s*([A-Z_]+)=(.*?)\s*$/.exec(line) ?? [];
    const value = plain?.replace(/^(["'])(.*)\1$/, "$2");
    // A locale's name has no other characters, and what is no name is not for the environment.
    if (NAME.test(name) && value && /^[\w.@:-]+$/.test(value)) found[name] = value;
  }
  return found;
}
