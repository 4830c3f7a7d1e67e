/** The shells' completions: made of the commands' tables, and good for a shell. */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COMPLETED, completionFiles, described } from "../../scripts/completions.ts";

const FILES = join(import.meta.dir, "../../files");

test("the files are what the tables make: run bun scripts/completions.ts", () => {
  for (const [path, text] of completionFiles()) {
    expect({ path, text: readFileSync(join(FILES, path), "utf8") }).toEqual({ path, text });
  }
});

test("every option and verb has a place in the help", () => {
  for (const { help, options, verbs } of COMPLETED) {
    for (const { long, short, key } of options) {
      // The older spelling of --kill-whom.
      if (long === "kill-who") continue;
      const word = long ? `--${long}` : `-${short}`;
      expect({ key, help }).toEqual({ key, help: expect.stringContaining(word) });
      expect({ word, text: described(help, word) }).not.toEqual({ word, text: "" });
    }
    for (const verb of Object.keys(verbs)) expect(help).toContain(`  ${verb}`);
  }
});

/** What bash would offer after these words, of which the last is being typed. */
function complete(...words: string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "p7-completion-"));
  try {
    // A loginctl that knows two sessions, whatever it is asked.
    const fake = join(folder, "loginctl");
    writeFileSync(
      fake,
      '#!/bin/sh\ncase "$*" in\n*list-sessions*) printf "c1 1 bob seat0\\nc2 2 eve\\n" ;;\n*show-session*) echo Id=c1 ;;\n*=help*) printf "0\\nHUP\\nTERM\\n" ;;\nesac\n',
    );
    chmodSync(fake, 0o755);
    const file = join(FILES, "usr/share/bash-completion/completions", words[0] ?? "");
    const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
      fun=$(complete -p "$1" | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); $fun; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const done = Bun.spawnSync(["bash", "-euc", script, "bash", file, ...words], {
      env: { PATH: `${folder}:/usr/bin:/bin` },
    });
    expect(done.stderr.toString()).toBe("");
    expect(done.exitCode).toBe(0);
    return done.stdout.toString().trim().split("\n").filter(Boolean);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("bash completes", () => {
  test("verbs, and what they take", () => {
    expect(complete("loginctl", "list-")).toEqual(["list-sessions", "list-users", "list-seats"]);
    expect(complete("loginctl", "-s", "TERM", "--no-legend", "kill-session", "")).toEqual([
      ...["c1", "c2"],
    ]);
    expect(complete("loginctl", "--lines", "=", "5", "show-session", "c2")).toEqual(["c2"]);
    expect(complete("loginctl", "lock-sessions", "")).toEqual([]);
  });

  test("options and their values, also behind an equals sign", () => {
    expect(complete("loginctl", "--no-l")).toEqual(["--no-legend"]);
    expect(complete("loginctl", "--json", "=")).toEqual(["pretty", "short", "off"]);
    expect(complete("loginctl", "--json", "=", "p")).toEqual(["pretty"]);
    expect(complete("loginctl", "-s", "T")).toEqual(["TERM"]);
    expect(complete("loginctl", "show-session", "-p", "")).toEqual(["Id"]);
    expect(complete("systemd-inhibit", "--mode", "block")).toEqual(["block", "block-weak"]);
    expect(complete("systemd-notify", "--pid", "=", "")).toEqual(["auto", "parent", "self"]);
    expect(complete("systemd-notify", "--re")).toEqual(["--ready", "--reloading"]);
    expect(complete("systemd-notify", "x")).toEqual([]);
  });

  test("the command that systemd-inhibit runs", () => {
    expect(complete("systemd-inhibit", "--why", "x", "ba")).toContain("bash");
    expect(complete("systemd-inhibit", "cat", "/etc/passw")).toContain("/etc/passwd");
  });
});
