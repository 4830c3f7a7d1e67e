/** The installer's scripts on the files that they change, outside of an installation. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";
import { removeAll, throwAwayKey } from "../repo/support.ts";

const TOP = resolve(import.meta.dir, "../..");
const SCRIPTS = join(TOP, "packages/lainos-calamares-config-layer-02/libexec");

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "protocol7-install-"));
});

afterEach(() => rm(root, { recursive: true, force: true }));

async function put(path: string, text: string, mode = 0o644): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  await chmod(file, mode);
}

function text(path: string): Promise<string> {
  return readFile(join(root, path), "utf8");
}

async function run(script: string, environment: Record<string, string> = {}) {
  const env = { PATH: process.env.PATH ?? "", LAINOS_ROOT: root, ...environment };
  const child = Bun.spawn(["sh", join(SCRIPTS, script)], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = await child.stderr.text();
  return { code: await child.exited, said };
}

/** Grub's settings as Calamares' module grubcfg writes them. */
const GRUB = `GRUB_TIMEOUT='5'
GRUB_CMDLINE_LINUX='random.trust_cpu=off'
GRUB_CMDLINE_LINUX_DEFAULT="quiet rd.luks.uuid=1234"
`;

/** What a shell that reads it, as grub-mkconfig does, finds in a variable. */
async function grubSays(name: string): Promise<string> {
  const child = Bun.spawn(["sh", "-c", `. ${root}/etc/default/grub; printf %s "$${name}"`]);
  return await child.stdout.text();
}

async function withOverlay(): Promise<void> {
  for (const file of ["doas.conf", "greetd/config.toml", "shadow"]) {
    await mkdir(dirname(join(root, "etc", file)), { recursive: true });
    await cp(join(TOP, "airootfs/etc", file), join(root, "etc", file));
  }
  await chmod(join(root, "etc/doas.conf"), 0o400);
  await chmod(join(root, "etc/shadow"), 0o400);
  await put("etc/machine-id", "00000000000000000000000000000001\n");
}

test("nothing of the medium's openness is left", async () => {
  await withOverlay();
  expect(await run("live-only")).toEqual({ code: 0, said: "" });
  const doas = await text("etc/doas.conf");
  expect(doas).toContain("permit persist :wheel");
  expect(doas).not.toMatch(/live ?user|nopass|keepenv/);
  expect((await text("etc/shadow")).split("\n")[0]).toMatch(/^root:!:/);
  expect(await text("etc/machine-id")).toBe("uninitialized\n");
  for (const secret of ["doas.conf", "shadow"]) {
    expect((await stat(join(root, "etc", secret))).mode & 0o777).toBe(0o400);
  }
});

test("the greeter starts Sway as the medium's does, and names no live user", async () => {
  await withOverlay();
  await run("live-only");
  const { default_session } = Bun.TOML.parse(await text("etc/greetd/config.toml")) as {
    default_session: { command: string };
  };
  expect(default_session.command).toContain(
    "--greeting LainOS --cmd /usr/local/bin/lainos-session-sway --sessions",
  );
  expect(default_session.command).not.toContain("liveuser");
  expect(default_session.command).toContain(" --remember --remember-session ");
  expect(await text("etc/greetd/config.toml")).not.toContain("No --remember");
});

test("another greeter is left as it is", async () => {
  await withOverlay();
  const other = '[default_session]\ncommand = "agreety --cmd zsh"\n';
  await put("etc/greetd/config.toml", other);
  expect((await run("live-only")).code).toBe(0);
  expect(await text("etc/greetd/config.toml")).toBe(other);
});

test("running twice changes nothing more", async () => {
  await withOverlay();
  await run("live-only");
  const files = ["etc/doas.conf", "etc/greetd/config.toml", "etc/shadow", "etc/machine-id"];
  const once = await Promise.all(files.map(text));
  expect((await run("live-only")).code).toBe(0);
  expect(await Promise.all(files.map(text))).toEqual(once);
});

test("a system without a shadow file is an error and not silently open", async () => {
  await put("etc/machine-id", "");
  const { code, said } = await run("live-only");
  expect(code).not.toBe(0);
  expect(said).toContain("etc/shadow");
});

const KEYBOARD = `Section "InputClass"
        Identifier "system-keyboard"
        MatchIsKeyboard "on"
        Option "XkbLayout" "de,us"
        Option "XkbModel" "pc105"
        Option "XkbVariant" "nodeadkeys,"
EndSection
`;

test("the keyboard's layout reaches the console's service and every session", async () => {
  await put("etc/vconsole.conf", "KEYMAP=de-latin1-nodeadkeys\nFONT=ter-116n\n");
  await put("etc/X11/xorg.conf.d/00-keyboard.conf", KEYBOARD);
  await put("etc/conf.d/keymaps", '# the layout\nkeymap="us"\nwindowkeys="YES"\n');
  await put("etc/environment", "EDITOR=nano\nXKB_DEFAULT_LAYOUT=us\n");
  expect(await run("keymap")).toEqual({ code: 0, said: "" });
  expect(await text("etc/conf.d/keymaps")).toBe(
    '# the layout\nwindowkeys="YES"\nkeymap="de-latin1-nodeadkeys"\n',
  );
  expect((await text("etc/environment")).trim().split("\n").sort()).toEqual([
    "EDITOR=nano",
    "XKB_DEFAULT_LAYOUT=de,us",
    "XKB_DEFAULT_MODEL=pc105",
    "XKB_DEFAULT_VARIANT=nodeadkeys,",
  ]);
});

test("files that are not there yet are made for all to read", async () => {
  await put("etc/vconsole.conf", "KEYMAP=fr\n");
  await put("etc/X11/xorg.conf.d/00-keyboard.conf", KEYBOARD);
  expect((await run("keymap", { PATH: process.env.PATH ?? "" })).code).toBe(0);
  expect(await text("etc/conf.d/keymaps")).toBe('keymap="fr"\n');
  expect((await stat(join(root, "etc/environment"))).mode & 0o777).toBe(0o644);
});

test("a start over a serial line is carried over to GRUB and to the kernel", async () => {
  await put("etc/default/grub", GRUB);
  await put("cmdline", "root=live:CDLABEL=LAINOS console=tty0 console=ttyS1,115200n8 quiet\n");
  const { code } = await run("boot", { LAINOS_CMDLINE: join(root, "cmdline") });
  expect(code).toBe(0);
  expect(await grubSays("GRUB_CMDLINE_LINUX")).toBe(
    "random.trust_cpu=off console=tty0 console=ttyS1,115200n8",
  );
  // Behind LUKS' too, since what follows init= is handed to it. grub-mkconfig joins the two in this order.
  expect(await grubSays("GRUB_CMDLINE_LINUX_DEFAULT")).toBe(
    "quiet rd.luks.uuid=1234 init=/sbin/openrc-init",
  );
  expect(await grubSays("GRUB_TERMINAL")).toBe("console serial");
  expect(await grubSays("GRUB_SERIAL_COMMAND")).toBe("serial --unit=1 --speed=115200");
});

test("pacman's keyring trusts the keys of the keyrings that packages brought, and no agent is left", async () => {
  await ensureHostPackages(["pacman"]);
  const { home, key, end } = await throwAwayKey();
  try {
    const gpg = $({ quiet: true, env: { ...process.env, GNUPGHOME: home } });
    await put("usr/share/pacman/keyrings/lainos-trusted", `${key}:4:\n`);
    await put("usr/share/pacman/keyrings/lainos-revoked", "");
    const file = join(root, "usr/share/pacman/keyrings/lainos.gpg");
    await gpg`gpg --batch --output ${file} --export ${key}`;
    await mkdir(join(root, "etc/pacman.d"), { recursive: true });
    const env = { ...process.env, LAINOS_ROOT: root };
    await $({ quiet: true, env })`sh ${join(SCRIPTS, "keys")}`;
    const ring = join(root, "etc/pacman.d/gnupg");
    const listed = await $({ quiet: true })`pacman-key --gpgdir ${ring} --list-keys ${key}`;
    expect(listed.stdout).toMatch(/\[\s*full\s*\]/);
    const agents = await $({ quiet: true, nothrow: true })`pgrep -f ${`gpg-agent.*${ring}`}`;
    expect(agents.stdout).toBe("");
  } finally {
    end();
    await removeAll();
  }
}, 60_000);

test("a system without keyrings is left as it is", async () => {
  expect((await run("keys")).code).toBe(0);
  expect(await Bun.file(join(root, "etc/pacman.d/gnupg")).exists()).toBe(false);
});

test("an ordinary start adds no serial line, and the layout for the passphrase", async () => {
  await put("etc/default/grub", GRUB);
  await put("etc/vconsole.conf", "KEYMAP=de\n");
  await put("cmdline", "root=live:CDLABEL=LAINOS quiet\n");
  const { code } = await run("boot", { LAINOS_CMDLINE: join(root, "cmdline") });
  expect(code).toBe(0);
  expect(await grubSays("GRUB_CMDLINE_LINUX")).toBe("random.trust_cpu=off rd.vconsole.keymap=de");
  expect(await text("etc/default/grub")).not.toContain("SERIAL");
});
