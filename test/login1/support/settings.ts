/** Configurations for tests of what follows from them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, readConfig } from "../../../lib/login1/settings/logind-conf.ts";

/** What these lines of a logind.conf make, which must be right. */
export function configOf(...lines: string[]): Config {
  const folder = mkdtempSync(join(tmpdir(), "p7-settings-"));
  const wrong = (message: string) => {
    throw new Error(message);
  };
  try {
    writeFileSync(join(folder, "logind.conf"), ["[Login]", ...lines, ""].join("\n"));
    return readConfig({ debug: wrong, info: wrong, warning: wrong, error: wrong }, [folder]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
