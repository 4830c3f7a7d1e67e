/** The Sway session: its configuration, its bar, what watches over idleness. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cleanUp, commands, copied, folder, home, run, SKEL } from "./support.ts";

cleanUp();

const CONFIG = readFileSync(join(SKEL, ".config/sway/config"), "utf8");

/** The bindings outside of any mode, by key, with the variables put in. */
function bindings(config: string): [string, string][] {
  const variables = new Map<string, string>();
  const found: [string, string][] = [];
  let depth = 0;
  for (const line of config.split("\n").map((text) => text.trim())) {
    const [, name, value] = /^set (\$\w+)\s+(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) variables.set(name, value);
    const full = line.replaceAll(/\$\w+/g, (word) => variables.get(word) ?? word);
    const [, key, action] = /^bindsym (?:--\S+ )*(\S+) (.*)$/.exec(full) ?? [];
    if (depth === 0 && key !== undefined && action !== undefined) found.push([key, action]);
    if (line.endsWith("{")) depth += 1;
    if (line === "}") depth -= 1;
  }
  return found;
}

describe("Sway's configuration", () => {
  test("is good for Sway", async () => {
    const user = home();
    const environment = {
      HOME: user,
      XDG_RUNTIME_DIR: join(user, "run"),
      WLR_BACKENDS: "headless",
    };
    const file = join(user, ".config/sway/config");
    const good = await run(["sway", "--validate", "--config", file], environment);
    expect({ ...good, faults: faultsIn(good.stderr) }).toMatchObject({ code: 0, faults: [] });
    writeFileSync(file, `${CONFIG}\nno-such-command\n`);
    const bad = await run(["sway", "--validate", "--config", file], environment);
    expect(faultsIn(bad.stderr).join("\n")).toContain("no-such-command");
  });

  /** Sway's complaints about the file; it has others about a machine without a card. */
  function faultsIn(text: string): string[] {
    return text.split("\n").filter((line) => /Error on line|Unknown\/invalid command/.test(line));
  }

  const bound = new Map(bindings(CONFIG));

  test("has no key twice", () => {
    const keys = bindings(CONFIG).map(([key]) => key.toLowerCase());
    expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([]);
    expect(keys.length).toBeGreaterThan(60);
  });

  const workspaces = [1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((number): [string, string][] => [
    [`Mod4+${number}`, `workspace number ${number}`],
    [`Mod4+Shift+${number}`, `move container to workspace number ${number}`],
  ]);
  const directions = { h: "left", j: "down", k: "up", l: "right" };
  const moves = Object.entries(directions).flatMap(([key, direction]): [string, string][] => [
    [`Mod4+${key}`, `focus ${direction}`],
    [`Mod4+Shift+${key}`, `move ${direction}`],
  ]);
  const table: [string, string][] = [
    ["Mod4+Return", "exec sh /usr/share/lainos/terminal.sh"],
    ["Mod4+d", "exec wofi"],
    ["Mod4+Shift+q", "kill"],
    ["Ctrl+Mod1+l", "exit"],
    ...workspaces,
    ...moves,
  ];
  test.each(table)("%s is %s", (key, action) => {
    expect(bound.get(key)).toBe(action);
  });
});

describe("the terminal", () => {
  const script = "usr/share/lainos/terminal.sh";
  const say = (name: string) => `echo ${name} "$@"`;
  const start = (names: string[], environment: Record<string, string>) =>
    run(["/bin/sh", copied(script), "-e", "top"], {
      PATH: commands(Object.fromEntries(names.map((name) => [name, say(name)]))),
      ...environment,
    });
  const wayland = { WAYLAND_DISPLAY: "wayland-1" };
  const cases: [string[], Record<string, string>, string][] = [
    [["alacritty", "foot", "xterm"], wayland, "alacritty"],
    [["foot", "xterm"], wayland, "foot"],
    [["foot", "xterm"], {}, "xterm"],
  ];
  test.each(cases)("of %j in %j", async (names, environment, expected) => {
    expect((await start(names, environment)).stdout).toBe(`${expected} -e top\n`);
  });

  test("that is missing is named", async () => {
    const none = await start([], {});
    expect(none).toMatchObject({ code: 127 });
    expect(none.stderr).toContain("no terminal is installed");
  });
});

describe("idleness", () => {
  const script = "etc/skel/.config/sway/idle.sh";
  const swayidle = 'printf "%s\\n" "$@"';
  const start = (scripts: Record<string, string>, live: string) =>
    run(["/bin/sh", copied(script)], { PATH: commands(scripts), LAINOS_LIVE: live });

  test("locks where there is a lock, and nowhere on the live medium", async () => {
    const locked = await start({ swayidle, swaylock: "" }, "/nowhere");
    expect(locked.stdout).toContain("before-sleep\nswaylock -f\n");
    expect(locked.stdout).toContain("timeout\n600\nswaylock -f\n");
    for (const [scripts, live] of [
      [{ swayidle, swaylock: "" }, folder()],
      [{ swayidle }, "/nowhere"],
    ] as const) {
      const open = await start(scripts, live);
      expect(open.stdout).toContain("output * power off");
      expect(open.stdout).not.toContain("swaylock");
    }
  });

  test("is nobody's where swayidle is not installed", async () => {
    expect(await start({ swaylock: "exit 3" }, "/nowhere")).toEqual({
      ...{ stdout: "", stderr: "", code: 0 },
    });
  });
});

describe("the bar's text", () => {
  const script = "etc/skel/.config/sway/status.sh";

  /** What status.sh prints on a machine of these files, its second `sleep` being its end. */
  async function lines(files: Record<string, string>, session: string): Promise<string[]> {
    const machine = folder();
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(machine, path)), { recursive: true });
      writeFileSync(join(machine, path), `${text}\n`);
    }
    const path = commands({ sleep: 'kill "$PPID"', date: 'echo "Wed 25 Nov 13:12"' });
    const done = await run(["/bin/sh", copied(script)], {
      ...{ PATH: path, XDG_SESSION_ID: session },
      ...{ LAINOS_SYS: join(machine, "sys"), LAINOS_PROC: join(machine, "proc") },
    });
    expect(done.stderr).toBe("");
    return done.stdout.trim().split("\n");
  }

  const proc = {
    "proc/loadavg": "0.42 0.30 0.20 1/200 4242",
    "proc/meminfo": "MemTotal:  8000 kB\nMemFree:  100 kB\nMemAvailable:  6000 kB",
  };

  test("is what swaybar reads", async () => {
    const [header, open, first] = await lines(
      {
        ...proc,
        "sys/class/net/lo/operstate": "unknown",
        "sys/class/net/eth0/operstate": "down",
        "sys/class/net/wlan0/operstate": "up",
        "sys/class/power_supply/BAT0/capacity": "9",
        "sys/class/power_supply/BAT0/status": "Discharging",
      },
      "c1",
    );
    expect(JSON.parse(header ?? "")).toEqual({ version: 1 });
    expect(open).toBe("[");
    const blocks = JSON.parse((first ?? "").replace(/,$/, "")) as {
      full_text: string;
      color: string;
    }[];
    expect(blocks.map(({ full_text }) => full_text.replaceAll(/<[^>]*>/g, "").trim())).toEqual([
      ...["SESSION c1", "LOAD 0.42", "MEM 25%", "NET wlan0", "BAT 9%", "TIME Wed 25 Nov 13:12"],
    ]);
    const colours = blocks.map(({ color }) => color);
    expect(colours.indexOf("#c678a8")).toBe(4);
    expect(colours.lastIndexOf("#c678a8")).toBe(4);
  });

  test("leaves out what the machine has not", async () => {
    const [, , first] = await lines(proc, "");
    expect(first).not.toContain("BAT");
    expect(first).not.toContain("SESSION");
    expect(first).toContain("NET</span> down");
  });

  test("is i3status-rs's where that is installed, with our theme", async () => {
    const path = commands({ "i3status-rs": "echo rs" });
    expect(await run(["/bin/sh", copied(script)], { PATH: path })).toMatchObject({
      stdout: "rs\n",
    });
    const folderOf = join(SKEL, ".config/i3status-rust");
    const config = Bun.TOML.parse(readFileSync(join(folderOf, "config.toml"), "utf8")) as {
      theme: { theme: string };
      block: { block: string }[];
    };
    expect(config.block.map(({ block }) => block)).toEqual([
      ...["cpu", "memory", "net", "sound", "battery", "time"],
    ]);
    const theme = readFileSync(join(folderOf, "themes", `${config.theme.theme}.toml`), "utf8");
    expect(Bun.TOML.parse(theme)).toHaveProperty("idle_fg");
  });
});
