/** The programs' own opinion of their files in the skel. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AIROOTFS, cleanUp, copied, home, run, SKEL, startX } from "./support.ts";

cleanUp();

test("foot takes foot.ini", async () => {
  const user = home();
  const file = join(user, ".config/foot/foot.ini");
  const words = ["foot", "--check-config", "--config", file];
  expect(await run(words, { HOME: user })).toMatchObject({ code: 0 });
  writeFileSync(file, "[colors]\nregular0=nothing\n");
  expect(await run(words, { HOME: user })).not.toMatchObject({ code: 0 });
});

test("dunst takes dunstrc", async () => {
  const user = home();
  const file = join(user, ".config/dunst/dunstrc");
  const script = `
    dunst -conf "$1" & pid=$!
    gdbus wait --session --timeout 10 org.freedesktop.Notifications || echo 'dunst is not there'
    kill $pid; wait $pid`;
  const words = ["dbus-run-session", "--", "sh", "-c", script, "dunst", file];
  const environment = { HOME: user, DISPLAY: await startX() };
  const complaints = (text: string) =>
    text.split("\n").filter((line) => /WARNING|ERROR|CRITICAL/.test(line));
  const good = await run(words, environment);
  expect(good.stdout).toBe("");
  expect(complaints(good.stderr)).toEqual([]);
  writeFileSync(file, "[global]\n  follow = nobody\n");
  expect(complaints((await run(words, environment)).stderr).join("\n")).toContain("nobody");
});

describe("zsh", () => {
  test.each([".zshrc", ".p10k.zsh"])("takes %s", async (name) => {
    expect(await run(["zsh", "-n", copied(join("etc/skel", name))], {})).toEqual({
      ...{ stdout: "", stderr: "", code: 0 },
    });
  });

  test("starts with it without a word, has its own prompt, and keeps its history", async () => {
    const user = home();
    const script =
      'print -r -- "$PROMPT"; print -r -- "$HISTFILE"; alias ll; whence compdef >/dev/null';
    const done = await run(["zsh", "-ic", script], { HOME: user, TERM: "linux" });
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout).toContain(`${user}/.zsh_history\n`);
    expect(done.stdout).toContain("ll='ls -lh'");
    if (!existsSync("/usr/share/zsh-theme-powerlevel10k")) expect(done.stdout).toContain("%n@%m");
  });
});

test("what the skel and the menus name in /usr/share/lainos is there", () => {
  const files = [
    ...[".config/sway/config", ".config/openbox/autostart", ".config/openbox/rc.xml"],
    ...[".config/openbox/root-menu.sh", ".config/swaylock/config"],
  ].map((path) => join(SKEL, path));
  files.push(join(AIROOTFS, "usr/share/applications/lainos-install.desktop"));
  for (const file of files) {
    const named = [
      ...readFileSync(file, "utf8").matchAll(/\/usr\/(?:share\/lainos|local\/bin)\/[\w./-]+/g),
    ];
    expect(named.length).toBeGreaterThan(0);
    for (const [path] of named)
      expect({ path, there: existsSync(join(AIROOTFS, path)) }).toEqual({ path, there: true });
  }
});
