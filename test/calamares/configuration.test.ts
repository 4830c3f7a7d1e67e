/** The installer's files, by what Calamares takes and by what LainOS has. Calamares reads them in walk.test.ts. */
import { afterEach, describe, expect, test } from "bun:test";
import {
  chownSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { contrast, PALETTE } from "../../scripts/artwork/palette.ts";
import { ensureHostPackages } from "../../scripts/host.ts";
import { COMMAND_LINE } from "../../scripts/iso/check.ts";
import { CONFIG } from "./installer.ts";
import { misfits, SHAPES } from "./shapes.ts";

const ROOT = resolve(import.meta.dir, "../..");
const read = (path: string): string => readFileSync(join(CONFIG, path), "utf8");
const parse = (path: string): Record<string, unknown> =>
  Bun.YAML.parse(read(path)) as Record<string, unknown>;

interface Settings {
  readonly instances: readonly { id: string; module: string; config: string }[];
  readonly sequence: readonly { show?: string[]; exec?: string[] }[];
  readonly branding: string;
}

const SETTINGS = parse("settings.conf") as unknown as Settings;
const CONFIGURATIONS = readdirSync(join(CONFIG, "modules"));

/** Modules that have a file of their own, by Calamares' rule, where they are configured at all. */
const moduleOf = (file: string): string =>
  SETTINGS.instances.find(({ config }) => config === file)?.module ?? basename(file, ".conf");

/** The modules that settings.conf runs or shows, without instances. */
const USED = new Set(
  SETTINGS.sequence
    .flatMap(({ show = [], exec = [] }) => [...show, ...exec])
    .map((name) => name.split("@")[0] ?? ""),
);

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

describe("settings.conf", () => {
  test("shows the pages in their order and names only instances that are there", () => {
    expect(SETTINGS.sequence[0]?.show).toEqual([
      ...["welcome", "locale", "keyboard", "partition", "users", "summary"],
    ]);
    expect(SETTINGS.sequence.at(-1)?.show).toEqual(["finished"]);
    const instances = new Set(SETTINGS.instances.map(({ id, module }) => `${module}@${id}`));
    const named = SETTINGS.sequence
      .flatMap(({ exec = [] }) => exec)
      .filter((name) => name.includes("@"));
    expect(new Set(named)).toEqual(instances);
    for (const { config } of SETTINGS.instances) expect(CONFIGURATIONS).toContain(config);
  });

  test("uses no module that our Calamares leaves out", () => {
    const pkgbuild = readFileSync(join(ROOT, "packages/lainos-calamares-dracut/PKGBUILD"), "utf8");
    const block = /^_skipped=\(\n([^)]*)\)/m.exec(pkgbuild)?.[1] ?? "";
    const skipped = block.split("\n").filter((line) => !line.trim().startsWith("#"));
    const names = new Set(skipped.join(" ").trim().split(/\s+/));
    expect(names.size).toBeGreaterThan(30);
    expect([...USED].filter((name) => names.has(name))).toEqual([]);
    expect(names.has("services-openrc") || names.has("dracut")).toBe(false);
  });
});

describe("the modules' configuration", () => {
  test.each(CONFIGURATIONS)("%s has the keys that its module takes", (file) => {
    const module = moduleOf(file);
    expect(USED).toContain(module);
    const keys = SHAPES[module];
    if (!keys) throw new Error(`shapes.ts does not know ${module}`);
    expect(misfits(parse(`modules/${file}`), { keys }, file)).toEqual([]);
  });

  test("that does not fit is named", () => {
    const keys = SHAPES.partition ?? {};
    expect(
      misfits(
        { luksGeneration: "luks3", efi: { size: "1" }, userSwapChoices: "none", swap: 1 },
        { keys },
        "partition.conf",
      ),
    ).toEqual([
      "partition.conf.luksGeneration: luks3 is none of luks1, luks2",
      "partition.conf.efi.size: no such key",
      "partition.conf.userSwapChoices: is no list",
      "partition.conf.swap: no such key",
    ]);
    expect(misfits("8", "number", "x")).toEqual(["x: is a string, and not a number"]);
  });

  test("asks nobody on the network where the computer is, or whether it is there", () => {
    for (const file of CONFIGURATIONS) expect(read(`modules/${file}`)).not.toMatch(/^geoip:/m);
    const { requirements } = parse("modules/welcome.conf") as {
      requirements: { check: string[] };
    };
    expect(requirements.check).not.toContain("internet");
  });

  test("puts users into groups that every LainOS has, and into none for sudo", () => {
    const sysusers = readFileSync(join(ROOT, "files/usr/lib/sysusers.d/lainos.conf"), "utf8");
    const known = new Set([...sysusers.matchAll(/^g (\S+)/gm)].map(([, name]) => name));
    const users = parse("modules/users.conf") as unknown as {
      defaultGroups: { name: string }[];
      sudoersGroup: string;
      user: { shell: string };
    };
    const groups = users.defaultGroups.map(({ name }) => name);
    expect(groups.filter((name) => !known.has(name))).toEqual([]);
    expect(groups).toContain("wheel");
    // seatd, which is not started, would let a member read the keyboard of whoever sits there.
    expect(groups).not.toContain("seat");
    expect(users.sudoersGroup).toBe("");
    const packages = readFileSync(join(ROOT, "profile/packages.x86_64"), "utf8").split("\n");
    expect(packages).toContain(basename(users.user.shell));
  });

  test("leaves root locked", () => {
    expect(parse("modules/users.conf")).toMatchObject({
      setRootPassword: false,
      doReusePassword: false,
    });
  });

  test("tells the installed kernel what the medium's is told, but for where its root is", () => {
    const { defaults } = parse("modules/grubcfg.conf") as {
      defaults: { GRUB_CMDLINE_LINUX: string };
    };
    // libexec/boot puts init= behind all of them.
    const own = COMMAND_LINE.filter((word) => !/^(root=|rd\.)/.test(word));
    expect(defaults.GRUB_CMDLINE_LINUX.split(" ")).toEqual(own);
  });

  test("offers the file system that it chooses by itself, and LUKS that every GRUB opens", () => {
    const partition = parse("modules/partition.conf") as Record<string, string[] | string>;
    expect(partition.availableFileSystemTypes).toContain(partition.defaultFileSystemType as string);
    expect(partition.userSwapChoices).toContain(partition.initialSwapChoice as string);
    expect(partition.luksGeneration).toBe("luks1");
    expect(partition.initialPartitioningChoice).toBe("none");
  });
});

describe("the branding", () => {
  const folder = `branding/${SETTINGS.branding}`;
  const description = parse(`${folder}/branding.desc`) as unknown as {
    componentName: string;
    images: Record<string, string>;
    slideshow: string;
    style: Record<string, string>;
  };

  test("has its name, its pictures and its slides", () => {
    expect(description.componentName).toBe(SETTINGS.branding);
    for (const file of [...Object.values(description.images), description.slideshow]) {
      expect(statSync(join(CONFIG, folder, file)).size).toBeGreaterThan(0);
    }
  });

  test("has a sidebar that is read well", () => {
    const { style } = description;
    const [background = "", text = ""] = [style.SidebarBackground, style.SidebarText];
    expect(contrast(background, text)).toBeGreaterThan(4.5);
    const [block = "", current = ""] = [style.SidebarBackgroundCurrent, style.SidebarTextCurrent];
    expect(contrast(block, current)).toBeGreaterThan(4.5);
  });

  test.each(["branding.desc", "stylesheet.qss", "show.qml"])("%s has our colours alone", (file) => {
    const known = new Set<string>(Object.values(PALETTE));
    const colours = [...read(`${folder}/${file}`).matchAll(/#[0-9a-fA-F]{6}\b/g)].map(String);
    expect(colours.length).toBeGreaterThanOrEqual(4);
    expect(colours.filter((colour) => !known.has(colour))).toEqual([]);
  });
});

describe("the slides", () => {
  /** The left halves of the rows: what is typed or pressed. */
  const rows = [...read(`branding/${SETTINGS.branding}/show.qml`).matchAll(/\["([^"]+)", qsTr\(/g)];
  const said = rows.map(([, left = ""]) => left);
  const overlay = (path: string) => readFileSync(join(ROOT, "airootfs", path), "utf8");

  test("name keys that Sway has", () => {
    const bound = new Set(
      [...overlay("etc/skel/.config/sway/config").matchAll(/^bindsym (\S+)/gm)].map(
        ([, key]) => key,
      ),
    );
    const keys = said
      .filter((left) => /^(Super|Ctrl)\+/.test(left))
      .flatMap((left) => left.split(" … "))
      .map((key) => key.replace("Super", "$mod").replace("Enter", "Return").replace("Alt", "Mod1"));
    expect(keys.length).toBeGreaterThan(5);
    expect(keys.filter((key) => !bound.has(key))).toEqual([]);
  });

  test("name files that are there", () => {
    const files = said.flatMap((left) => left.match(/\/\S+/g) ?? []);
    expect(files).toEqual(["/etc/doas.conf", "/var/log/everything.log", "/etc/nftables.conf"]);
    for (const file of ["etc/doas.conf", "etc/nftables.conf"]) expect(overlay(file)).not.toBe("");
    expect(overlay("etc/syslog-ng/syslog-ng.conf")).toContain("/var/log/everything.log");
  });

  test("name commands of the packages on the medium, or of ours", () => {
    const packages = readFileSync(join(ROOT, "profile/packages.x86_64"), "utf8").split("\n");
    const from: Record<string, string> = {
      ...{ doas: "opendoas", pacman: "base", nano: "nano", iwctl: "iwd" },
      ...{ "rc-status": "openrc", "rc-service": "openrc", "rc-update": "openrc" },
      ...{ loginctl: "protocol7-core", "systemd-inhibit": "protocol7-core" },
    };
    const commands = said
      .filter((left) => /^[a-z]/.test(left))
      .flatMap((left) =>
        left.startsWith("doas ") ? left.split(" ").slice(0, 2) : [left.split(" ")[0] ?? ""],
      );
    expect(new Set(commands)).toEqual(new Set(Object.keys(from)));
    expect(Object.values(from).filter((name) => !packages.includes(name))).toEqual([]);
  });
});

describe("makepkg reads", () => {
  const MADE = ["lainos-calamares-config-layer-02", "lainos-calamares-dracut"];
  test.each(MADE)("%s", async (name) => {
    await ensureHostPackages(["makepkg", "pacman", "setpriv"]);
    // makepkg refuses root, and another user may not be let into the checkout.
    const copy = mkdtempSync(join(tmpdir(), "p7-pkgbuild-"));
    ends.push(() => rmSync(copy, { recursive: true }));
    cpSync(join(ROOT, "packages", name, "PKGBUILD"), join(copy, "PKGBUILD"));
    chownSync(copy, 65534, 65534);
    const ids = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const done = Bun.spawnSync([...ids, "makepkg", "--printsrcinfo"], {
      cwd: copy,
      env: { PATH: "/usr/bin:/bin", HOME: copy, LC_ALL: "C" },
    });
    expect(done.stderr.toString()).toBe("");
    const text = done.stdout.toString();
    expect(text).toContain(`pkgname = ${name}\n`);
    // Every source is held to a sum.
    const count = (key: string) => [...text.matchAll(new RegExp(`^\\t${key} = `, "gm"))].length;
    expect(count("sha256sums")).toBe(count("source"));
    expect(text).not.toContain("SKIP");
    const packages = readFileSync(join(ROOT, "profile/packages.x86_64"), "utf8").split("\n");
    expect(packages).toContain(name);
  });
});
