/** The Openbox session: window manager, panel, menus, what starts with it, and the installer. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cleanUp, commands, copied, folder, home, run, SKEL, startX } from "./support.ts";

cleanUp();

const OPENBOX = join(SKEL, ".config/openbox");

/** Starts a program, waits for a command to say that it is there, and gives what it has printed. */
const UNTIL = `
"$@" >"$HOME/printed" 2>&1 &
pid=$!
tries=0
until sh -c "$READY" >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -gt 100 ]; then echo 'not ready in time'; break; fi
  sleep 0.1
done
kill "$pid"
wait "$pid"
cat "$HOME/printed"
`;

test("Openbox takes rc.xml and the theme without a word", async () => {
  const text = readFileSync(join(OPENBOX, "rc.xml"), "utf8");
  const saidOf = async (config: string): Promise<string> => {
    const user = home();
    const file = join(user, ".config/openbox/rc.xml");
    writeFileSync(file, config);
    const environment = { HOME: user, DISPLAY: await startX(), READY: 'test -e "$HOME/started"' };
    const startup = `touch ${user}/started`;
    const words = ["openbox", "--config-file", file, "--startup", startup];
    return (await run(["sh", "-c", UNTIL, "until", ...words], environment)).stdout;
  };
  expect(await saidOf(text)).toBe("");
  const bad = text.replace('key="W-d"', 'key="W-nokey"').replace("CoplandOS-GTK", "Absent");
  expect(await saidOf(bad)).toMatch(/nokey.*Absent|Absent.*nokey/s);
});

test("the keys of Openbox", () => {
  const text = readFileSync(join(OPENBOX, "rc.xml"), "utf8");
  const keys = new Map(
    [...text.matchAll(/<keybind key="([^"]+)">(.*)<\/keybind>/g)].map((found) => [
      found[1],
      found[2],
    ]),
  );
  expect(keys.get("W-Return")).toContain("terminal.sh");
  expect(keys.get("W-d")).toContain("<menu>applications</menu>");
  expect(keys.get("A-F4")).toContain('"Close"');
  expect(keys.get("C-A-l")).toContain('"Exit"');
  expect(keys.get("W-Escape")).toContain("<command>loginctl lock-session</command>");
  for (let desktop = 1; desktop <= 9; desktop++) {
    expect(keys.get(`W-${desktop}`)).toContain(`<to>${desktop}</to>`);
    expect(keys.get(`W-S-${desktop}`)).toContain(`<to>${desktop}</to>`);
  }
});

test("tint2 knows every word of tint2rc", async () => {
  const text = readFileSync(join(SKEL, ".config/tint2/tint2rc"), "utf8");
  /** What tint2 says about a file, once it has shown a panel: a command in that says so. */
  const saidOf = async (config: string): Promise<string> => {
    const user = home();
    const file = join(user, ".config/tint2/tint2rc");
    const shown = "panel_items = TSBCE\nexecp = new\nexecp_command = touch $HOME/shown\n";
    writeFileSync(file, `${config}\n${shown}`);
    const environment = { HOME: user, DISPLAY: await startX(), READY: 'test -e "$HOME/shown"' };
    // tint2 waits long for a window manager before it goes on without one.
    const both = 'openbox >/dev/null 2>&1 & exec tint2 -c "$0"';
    return (await run(["sh", "-c", UNTIL, "until", "sh", "-c", both, file], environment)).stdout;
  };
  const good = await saidOf(text);
  expect(good).toContain("panel items: TSBCE");
  expect(good).not.toMatch(/not ready in time|invalid option/);
  expect(await saidOf(`${text}\nno_such_word = 1`)).toContain('invalid option "no_such_word"');
});

describe("menus", () => {
  const wellFormed = async (path: string, text: string) => {
    writeFileSync(path, text);
    expect(await run(["xmllint", "--noout", path], {})).toMatchObject({ code: 0, stderr: "" });
  };

  test("and rc.xml are well-formed, and what they run is there", async () => {
    const broken = join(folder(), "broken.xml");
    writeFileSync(broken, "<openbox_menu>");
    expect((await run(["xmllint", "--noout", broken], {})).code).not.toBe(0);
    for (const name of ["menu.xml", "rc.xml"]) {
      await wellFormed(join(folder(), name), readFileSync(join(OPENBOX, name), "utf8"));
    }
    const menu = readFileSync(join(OPENBOX, "menu.xml"), "utf8");
    const scripts = [...menu.matchAll(/~\/\.config\/openbox\/([\w-]+\.sh)/g)];
    expect(scripts.map((found) => found[1])).toEqual(["applications.sh", "root-menu.sh"]);
    for (const [, name = ""] of scripts) readFileSync(join(OPENBOX, name));
  });

  test("of programs: the visible ones, by name, escaped", async () => {
    const data = folder();
    const user = folder();
    for (const base of [data, join(user, ".local/share")]) {
      mkdirSync(join(base, "applications"), { recursive: true });
    }
    const add = (base: string, name: string, ...lines: string[]) =>
      writeFileSync(
        join(base, "applications", `${name}.desktop`),
        `[Desktop Entry]\nType=Application\n${lines.join("\n")}\n`,
      );
    add(
      data,
      "web",
      "Name=Web & Mail",
      'Exec=web --name="a b" %U',
      "[Desktop Action x]",
      "Exec=no",
    );
    add(data, "top", "Name = Top", "Exec = top -d 1%%", "Terminal=true");
    add(data, "hidden", "Name=Hidden", "Exec=x", "NoDisplay=true");
    add(data, "absent", "Name=Absent", "Exec=x", "TryExec=no-such-command");
    add(data, "there", "Name=editor", "Exec=sh", "TryExec=sh");
    add(data, "gnome", "Name=Gnome", "Exec=x", "OnlyShowIn=GNOME;");
    add(data, "ours", "Name=Zed", "Exec=zed", "OnlyShowIn=GNOME;Openbox;");
    add(data, "not", "Name=Not", "Exec=x", "NotShowIn=Openbox;");
    // The user's own stands before the system's.
    add(data, "own", "Name=System's", "Exec=x");
    add(join(user, ".local/share"), "own", "Name=Mine", "Exec=mine");
    const done = await run(["sh", copied("etc/skel/.config/openbox/applications.sh")], {
      ...{ HOME: user, XDG_DATA_DIRS: data },
    });
    expect(done.stderr).toBe("");
    await wellFormed(join(user, "menu.xml"), done.stdout);
    const items = [...done.stdout.matchAll(/label="([^"]*)".*<command>(.*)<\/command>/g)];
    expect(items.map(([, label, command]) => [label, command])).toEqual([
      ["editor", "sh"],
      ["Mine", "mine"],
      ["Top", "sh /usr/share/lainos/terminal.sh -e top -d 1%"],
      ["Web &amp; Mail", "web --name=&quot;a b&quot;"],
      ["Zed", "zed"],
    ]);
  });

  test("of the desktop: only what is installed", async () => {
    const script = ["/bin/sh", copied("etc/skel/.config/openbox/root-menu.sh")];
    const labels = (text: string) =>
      [...text.matchAll(/label="([^"]*)"/g)].map((found) => found[1]);
    const all = await run(script, {
      PATH: commands({ calamares: "", pcmanfm: "", nautilus: "", loginctl: "" }),
    });
    await wellFormed(join(folder(), "menu.xml"), all.stdout);
    expect(labels(all.stdout)).toEqual([
      ...["LainOS layer 02", "Terminal", "Files", "Install LainOS"],
      ...["Suspend", "Restart", "Power off", "Log out"],
    ]);
    expect(all.stdout).toContain("<command>pcmanfm</command>");
    const locker = commands({ loginctl: "", "xss-lock": "", i3lock: "" });
    const lock = (live: string) => run(script, { PATH: locker, LAINOS_LIVE: live });
    expect(labels((await lock("/nowhere")).stdout)).toContain("Lock");
    expect(labels((await lock(folder())).stdout)).not.toContain("Lock");
    const none = await run(script, { PATH: folder() });
    await wellFormed(join(folder(), "menu.xml"), none.stdout);
    expect(labels(none.stdout)).toEqual(["LainOS layer 02", "Terminal", "Log out"]);
  });
});

describe("what starts with Openbox", () => {
  const start = async (names: string[], live: string): Promise<string[]> => {
    const said = (name: string) => [name, `echo ${name} "$@"`] as const;
    const path = commands(Object.fromEntries(names.map(said)));
    const done = await run(["/bin/sh", copied("etc/skel/.config/openbox/autostart")], {
      ...{ PATH: path, LAINOS_LIVE: live },
    });
    expect(done).toMatchObject({ code: 0, stderr: "" });
    return done.stdout.trim().split("\n").sort();
  };
  const all = ["hsetroot", "tint2", "dunst", "calamares", "calamares_polkit"];

  test("the installer, on the live medium alone and where it is", async () => {
    expect(await start(all, folder())).toContain("calamares_polkit");
    expect(await start(all, "/nowhere")).not.toContain("calamares_polkit");
    const without = all.filter((name) => name !== "calamares");
    expect(await start(without, folder())).not.toContain("calamares_polkit");
  });

  test("what locks the screen, but on the live medium, and only with a locker", async () => {
    const agent = ["xss-lock", "i3lock"];
    const line = "xss-lock --transfer-sleep-lock -- i3lock --nofork --color=14101a";
    expect(await start(agent, "/nowhere")).toEqual([line]);
    expect(await start(agent, folder())).toEqual([""]);
    for (const name of agent) expect(await start([name], "/nowhere")).toEqual([""]);
  });

  test("panel, notifications and a background, each where it is installed", async () => {
    // The wallpaper is not on a machine that is not LainOS: then it is its colour.
    expect(await start(all, "/nowhere")).toEqual([
      ...["dunst", expect.stringMatching(/^hsetroot (-cover \/usr|-solid #14101a)/), "tint2"],
    ]);
    expect(await start(["tint2"], "/nowhere")).toEqual(["tint2"]);
    expect(await start([], "/nowhere")).toEqual([""]);
  });
});

describe("calamares_polkit", () => {
  // The one thing that needs root is another's: what it is asked to run is what counts.
  const pkexec = 'printf "%s\\n" "$@"; exit 5';
  const start = (names: Record<string, string>, environment: Record<string, string>) =>
    run(["/bin/sh", copied("usr/local/bin/calamares_polkit"), "--xdg-config"], {
      ...{ PATH: `${commands(names)}:/usr/bin:/bin` },
      ...environment,
    });

  test("hands the display on to Calamares, and its exit status back", async () => {
    const done = await start(
      { calamares: "", pkexec },
      {
        WAYLAND_DISPLAY: "wayland-1",
        XDG_RUNTIME_DIR: "/run/user/1000",
        DISPLAY: ":0",
        SECRET: "x",
      },
    );
    expect(done.code).toBe(5);
    const words = done.stdout.trim().split("\n");
    // It ends with the script.
    const program = ["setpriv", "--pdeathsig", "TERM", "calamares", "-D6", "--xdg-config"];
    expect([words[0], ...words.slice(-6)]).toEqual(["env", ...program]);
    expect(words.slice(1, -6).sort()).toEqual([
      "DISPLAY=:0",
      "QT_QPA_PLATFORM=wayland;xcb",
      "WAYLAND_DISPLAY=wayland-1",
      "XDG_RUNTIME_DIR=/run/user/1000",
    ]);
  });

  test("on X11 it hands on the X authority, and a platform that was asked for", async () => {
    const done = await start(
      { calamares: "", pkexec },
      { DISPLAY: ":1", XAUTHORITY: "/home/a b/.Xauthority", QT_QPA_PLATFORM: "xcb" },
    );
    expect(done.stdout.trim().split("\n").slice(1, -6).sort()).toEqual([
      ...["DISPLAY=:1", "QT_QPA_PLATFORM=xcb", "XAUTHORITY=/home/a b/.Xauthority"],
    ]);
  });

  test("what is missing is named, in a notification too", async () => {
    const heard = join(folder(), "heard");
    const notify = { "notify-send": `printf '%s\\n' "$@" >${heard}` };
    const absent = await start({ pkexec, ...notify }, { DISPLAY: ":0" });
    expect(absent).toMatchObject({ code: 1, stdout: "" });
    expect(absent.stderr).toContain("calamares is not installed: pacman -S");
    expect(readFileSync(heard, "utf8")).toContain("calamares is not installed");
    const blind = await start({ calamares: "", pkexec, ...notify }, {});
    expect(blind).toMatchObject({ code: 1, stdout: "" });
    expect(blind.stderr).toContain("there is no display");
  });
});
