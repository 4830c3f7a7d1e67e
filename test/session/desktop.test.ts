import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findDesktop, parseDesktopEntry, splitExec } from "../../lib/session/desktop.ts";
import { cleanUp, folder, scripts } from "./support.ts";

cleanUp();

const both = () => scripts({ sway: "", openbox: "", "openbox-session": "" });

describe("which desktop", () => {
  const cases: [string, string | undefined, Record<string, string>, string][] = [
    ["the one asked for", "openbox", { DISPLAY: ":0", XDG_SESSION_DESKTOP: "sway" }, "openbox"],
    ["the one of XDG_SESSION_DESKTOP", undefined, { XDG_SESSION_DESKTOP: "Sway" }, "sway"],
    ["sway before openbox", undefined, {}, "sway"],
    ["openbox where there is an X display", undefined, { DISPLAY: ":0" }, "openbox"],
    ["sway inside Wayland", undefined, { DISPLAY: ":0", WAYLAND_DISPLAY: "wayland-0" }, "sway"],
    ["an empty variable is none", undefined, { XDG_SESSION_DESKTOP: "" }, "sway"],
  ];
  test.each(cases)("%s", (_, asked, environment, expected) => {
    expect(findDesktop(asked, { PATH: both(), ...environment }).name).toBe(expected);
  });

  test("sway is a Wayland desktop and openbox an X11 one, started by its session script", () => {
    const path = both();
    expect(findDesktop("sway", { PATH: path })).toEqual({
      name: "sway",
      kind: "wayland",
      currentDesktop: ["sway"],
      path: join(path, "sway"),
      argv: ["sway"],
    });
    expect(findDesktop("openbox", { PATH: path, DISPLAY: ":0" })).toMatchObject({
      kind: "x11",
      path: join(path, "openbox-session"),
    });
    const bare = scripts({ openbox: "" });
    expect(findDesktop("openbox", { PATH: bare, DISPLAY: ":0" }).argv).toEqual(["openbox"]);
  });

  test("what is not installed is named with its mend", () => {
    const path = scripts({ sway: "" });
    expect(() => findDesktop("openbox", { PATH: path, DISPLAY: ":0" })).toThrow(
      `the desktop openbox is not installed: no openbox-session or openbox in ${path} ` +
        "(pacman -S openbox, or ask for sway)",
    );
    expect(() => findDesktop(undefined, { PATH: folder() })).toThrow("no desktop is installed");
    expect(() => findDesktop("gnome", { PATH: path, XDG_DATA_DIRS: "/nowhere" })).toThrow(
      "the desktop gnome is not installed: no gnome.desktop in /nowhere/wayland-sessions, " +
        "/nowhere/xsessions",
    );
  });

  test("a file that is not executable, or a folder, is not installed", () => {
    const path = scripts({ sway: "" });
    chmodSync(join(path, "sway"), 0o644);
    expect(() => findDesktop("sway", { PATH: path })).toThrow("not installed");
    const other = folder();
    mkdirSync(join(other, "sway"));
    expect(() => findDesktop("sway", { PATH: other })).toThrow("not installed");
  });

  test("an X11 desktop without a display says how to get one", () => {
    expect(() => findDesktop("openbox", { PATH: both() })).toThrow(
      "openbox runs under X and DISPLAY is not set: start it by lainos-session-openbox",
    );
  });

  test.each(["../sway", "a/b", "-x", "a b", "a\nb", "x".repeat(200)])("%j is no name", (name) => {
    expect(() => findDesktop(name, { PATH: both() })).toThrow("cannot be the name of a desktop");
  });
});

describe("session files", () => {
  function sessionFile(kind: string, name: string, text: string): string {
    const data = folder();
    mkdirSync(join(data, kind));
    writeFileSync(join(data, kind, `${name}.desktop`), text);
    return data;
  }

  test("a desktop of another name is started by its file", () => {
    const path = scripts({ niri: "" });
    const data = sessionFile(
      "wayland-sessions",
      "niri",
      '[Desktop Entry]\nName=Niri\nExec=niri --session "a b" %U\nDesktopNames=niri;wlroots;\n' +
        "[Desktop Action x]\nExec=other\n",
    );
    expect(findDesktop("niri", { PATH: path, XDG_DATA_DIRS: data })).toEqual({
      name: "niri",
      kind: "wayland",
      currentDesktop: ["niri", "wlroots"],
      path: join(path, "niri"),
      argv: ["niri", "--session", "a b"],
    });
  });

  test("one of xsessions needs a display", () => {
    const path = scripts({ i3: "" });
    const data = sessionFile("xsessions", "i3", "[Desktop Entry]\nExec=i3\n");
    const environment = { PATH: path, XDG_DATA_DIRS: data };
    expect(() => findDesktop("i3", environment)).toThrow("DISPLAY is not set");
    expect(findDesktop("i3", { ...environment, DISPLAY: ":0" }).kind).toBe("x11");
  });

  test("our own session file stands for the desktop that it starts", () => {
    const data = sessionFile(
      "wayland-sessions",
      "lainos-sway",
      "[Desktop Entry]\nExec=/usr/local/bin/lainos-session-sway\n",
    );
    const environment = { PATH: scripts({ sway: "" }), XDG_DATA_DIRS: data };
    expect(findDesktop("lainos-sway", environment).name).toBe("sway");
  });

  test("one that would start us again is refused", () => {
    const path = scripts({ "lainos-init": "" });
    const data = sessionFile(
      "wayland-sessions",
      "loop",
      "[Desktop Entry]\nExec=lainos-init loop\n",
    );
    expect(() => findDesktop("loop", { PATH: path, XDG_DATA_DIRS: data })).toThrow(
      "starts lainos-init, which starts this",
    );
  });

  test("one whose program is missing says which", () => {
    const data = sessionFile("wayland-sessions", "niri", "[Desktop Entry]\nExec=niri\n");
    expect(() => findDesktop("niri", { PATH: folder(), XDG_DATA_DIRS: data })).toThrow(
      "needs niri, which is not installed",
    );
    const empty = sessionFile("wayland-sessions", "niri", "[Desktop Entry]\n");
    expect(() => findDesktop("niri", { XDG_DATA_DIRS: empty })).toThrow("names no program");
  });

  test("the main group counts, and its escapes are resolved", () => {
    const entry = parseDesktopEntry(
      "# x\nName=no\n[Desktop Entry]\nExec = a\\sb\\\\c\nName[de]=nein\nName=yes\nName=no\n[B]\nTryExec=x\n",
    );
    expect(Object.fromEntries(entry)).toEqual({ Exec: "a b\\c", Name: "yes" });
  });

  test.each([
    ["sway", ["sway"]],
    ['env "A=b c"  sway %f', ["env", "A=b c", "sway"]],
    ['x "a \\"quoted\\" \\\\ word" 100%%', ["x", 'a "quoted" \\ word', "100%"]],
    ['x "never closed', undefined],
    ["", []],
  ])("Exec=%s", (exec, words) => {
    expect(splitExec(exec)).toEqual(words);
  });
});
