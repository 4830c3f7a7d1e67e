/** Every service of ours in the booted system; and what each script says of its settings. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ALL, script, testServices } from "./service-rows.ts";
import { bootSystem } from "./system.ts";

const SETTINGS = join(import.meta.dir, "../../openrc/conf.d");

testServices(() => bootSystem("test-services"));

describe("a script", () => {
  test.each(ALL)("of %s reads no setting that its conf.d file does not explain", (name) => {
    // `${a_setting:-default}`, `${a_setting-default}` and `: "${a_setting:=default}"`, except for
    // OpenRC's own; what is of one word is the script's.
    const read = [...script(name).matchAll(/\$\{([a-z]+_[a-z_]*)(?::?-|:=)/g)].map(
      ([, word]) => word,
    );
    const own = [...new Set(read)].filter((word) => !word?.startsWith("respawn_"));
    const text = readdirSync(SETTINGS).includes(name)
      ? readFileSync(join(SETTINGS, name), "utf8")
      : "";
    for (const word of own) expect(text).toMatch(new RegExp(`^#.*\n(#.*\n)*#?${word}=`, "m"));
  });
});
