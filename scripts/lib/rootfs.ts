/** Debian root file systems without systemd, built once and kept: the test system's and the stand-in medium's. */
import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { $ } from "zx";
import { cacheDir, ensureHostPackages, HostError } from "../host.ts";
import { killOnAbort } from "./kill-on-abort.ts";
import { debianSources, type Suite } from "./mirror.ts";
import { removeUnmounted } from "./mounts.ts";
import { lockRoots, markUse, usedRoots } from "./root-users.ts";

/** What a root is made of. */
export interface Recipe {
  /** The folder of the cache in which roots of this kind are; only the newest of a kind stays. */
  readonly kind: string;
  readonly suite: Suite;
  readonly packages: readonly string[];
  /** Whether it boots OpenRC: then it has no systemd, and what stands for its logind. */
  readonly boots: boolean;
  /** Whether the unmodified clients of `CLIENTS` are put into it. */
  readonly clients: boolean;
}

const LIVE_PACKAGES = {
  init: ["openrc", "kmod", "udev", "procps", "psmisc", "util-linux", "util-linux-extra"],
  bus: ["dbus", "dbus-bin", "dbus-daemon", "polkitd", "libsystemd0", "libsystemd-shared"],
  login: ["greetd", "seatd", "login", "passwd", "libpam-modules", "libpam-runtime", "opendoas"],
  shell: ["bash", "less", "zstd", "ncurses-base"],
  net: ["iproute2", "nftables", "chrony", "iwd", "dhcpcd-base", "netbase"],
  log: ["syslog-ng-core"],
  wayland: ["sway", "swaybg", "swayidle", "foot", "grim", "fonts-dejavu-core", "libgl1-mesa-dri"],
  x11: [
    "openbox",
    "xserver-xorg-core",
    "xserver-xorg-input-libinput",
    "xserver-xorg-video-dummy",
    "xinit",
    "xvfb",
    "xauth",
  ],
  clients: ["upower", "xss-lock", "xdg-desktop-portal"],
  security: ["apparmor"],
  sound: ["pipewire", "wireplumber", "pipewire-pulse", "alsa-utils"],
} as const;

/** What keeps systemd out of any of them. */
const STANDIN = "protocol7-test-logind";

/** Debian's packages make their users by it as they are installed; LainOS has none, so it goes then. */
const SYSUSERS = "systemd-standalone-sysusers";

/** The root of `bun run live`. */
export const LIVE_ROOT: Recipe = {
  kind: "rootfs",
  suite: "forky",
  packages: Object.values(LIVE_PACKAGES).flat(),
  boots: true,
  clients: true,
};

/** The same of the oldest parts that are supported (OpenRC 0.45, systemd 252's clients), without a desktop. */
export const OLDEST_ROOT: Recipe = {
  ...LIVE_ROOT,
  kind: "oldest",
  suite: "bookworm",
  packages: [
    ...[...LIVE_PACKAGES.init, ...LIVE_PACKAGES.bus, ...LIVE_PACKAGES.login],
    ...[...LIVE_PACKAGES.shell, ...LIVE_PACKAGES.net, ...LIVE_PACKAGES.log],
    ...[...LIVE_PACKAGES.security, ...LIVE_PACKAGES.sound],
  ],
};

/**
 * Debian's packages ask for a logind; this one says that it is there, since ours is and comes by
 * pacman, which dpkg knows nothing of. It keeps systemd and elogind out. And it has a systemd-tmpfiles
 * that does nothing, since LainOS has none and Debian's greetd cannot be installed without.
 */
const DUMMY_CONTROL = `Package: ${STANDIN}
Version: 1:300
Architecture: all
Maintainer: Protocol 7 <root@localhost>
Provides: logind, default-logind, libpam-systemd (= 262), dbus-user-session, default-dbus-session-bus, dbus-session-bus, init, systemd-tmpfiles
Conflicts: systemd, elogind, systemd-sysv, libpam-systemd, libpam-elogind, sysvinit-core
Description: Stands for logind where protocol7-core provides it
`;

/** Where systemd's own commands are of which protocol7-core has some of the same names. */
export const SYSTEMDS_OWN = "/opt/systemd/bin";

/**
 * Unmodified clients out of packages that must not be installed whole (Debian 12 has them outside of
 * /usr), and the folder where they go, by default each one's own.
 */
const CLIENTS = [
  {
    package: "systemd",
    files: ["loginctl", "systemd-notify", "systemd-inhibit"].map((name) => `./*bin/${name}`),
    folder: SYSTEMDS_OWN,
  },
  { package: "systemd", files: ["./*bin/busctl"] },
  {
    package: "libpam-systemd",
    files: ["./*lib/x86_64-linux-gnu/security/pam_systemd.so"],
  },
] as const satisfies { package: string; files: string[]; folder?: string }[];

/** A mirror may be a stored copy, whose Release file has run out. */
const APT_OPTIONS = ['APT::Install-Recommends "false"', 'Acquire::Check-Valid-Until "false"'].map(
  (option) => `--aptopt=${option}`,
);

/** Left out to keep the cache small, and as the medium's pacman.conf has it. */
export const LEFT_OUT = [
  "/etc/sway/config.d/50-systemd-user.conf",
  "/usr/share/man/*",
  "/usr/share/doc/*",
  "/usr/share/locale/*",
  "/usr/share/info/*",
];

/**
 * Init scripts that openrc does not own are LSB ones: they need services that Debian's openrc
 * lacks, and pacman would refuse to put ours in their place. No runlevel is kept either.
 */
const CLEAN_HOOK = `cd "$1/etc/init.d" && for script in *; do
  grep -qx "/etc/init.d/$script" "$1/var/lib/dpkg/info/openrc.list" || rm -f "$script"
done; find "$1/etc/runlevels" -type l -delete`;

const TMPFILES = "usr/bin/systemd-tmpfiles";

/** What only the installation needed. Packages that depend on it stay as they are. */
const REMOVE_HOOK = `dpkg --root="$1" --purge --force-depends ${SYSUSERS} && rm "$1/${TMPFILES}"`;

function customizeHooks(recipe: Recipe): string[] {
  if (!recipe.boots) return [];
  return [...(recipe.clients ? [clientsHook()] : []), REMOVE_HOOK, CLEAN_HOOK];
}

function clientsHook(): string {
  const names = [...new Set(CLIENTS.map((client) => client.package))].join(" ");
  const extract = CLIENTS.map((client) => {
    const from = `dpkg-deb --fsys-tarfile ${client.package}_*.deb`;
    const files = client.files.map((file) => `'${file}'`).join(" ");
    const words = `--keep-directory-symlink --wildcards ${files}`;
    if (!("folder" in client)) return `${from} | tar -x -C "$1" ${words}`;
    const folder = `"$1"${client.folder}`;
    return `mkdir -p ${folder} && ${from} | tar -x -C ${folder} --transform='s,.*/,,' ${words}`;
  });
  return [
    'cd "$CLIENTS_DIR" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"',
    `apt-get -o APT::Sandbox::User=root download ${names}`,
    ...extract,
  ].join(" && ");
}

/** What decides over the contents; a change of it makes a new root. */
export function recipeKey(recipe: Recipe): string {
  const standins = recipe.boots ? [SYSUSERS, DUMMY_CONTROL] : [];
  const parts = [recipe.suite, recipe.packages, standins, LEFT_OUT, customizeHooks(recipe)];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}

/**
 * The path of the root file system, which is built where the cache has none of this recipe.
 * @param onLine is told what the build prints.
 * @throws HostError when the build fails.
 */
export function ensureRootfs(
  recipe: Recipe,
  signal: AbortSignal,
  onLine: (line: string) => void = () => {},
): Promise<string> {
  return keepRoot(recipe.kind, recipeKey(recipe), async (building, scratch) => {
    await ensureHostPackages(["mmdebstrap", "unshare"]);
    await bootstrap(recipe, building, scratch, signal, onLine);
  });
}

/**
 * The path of the cache's root of that kind and key, which is built where there is none. It appears
 * under its name only when it is whole. Nobody removes it while this process lives, a test system uses
 * it or an overlay is over it; older ones of its kind that nobody uses are removed.
 * @param build makes the root at its first path; the second is for what it needs on the way.
 */
export async function keepRoot(
  kind: string,
  key: string,
  build: (building: string, scratch: string) => Promise<void>,
): Promise<string> {
  const base = join(cacheDir(), kind);
  const path = join(base, key);
  await mkdir(base, { recursive: true });
  // Between the end of a build and the next look, another's removal may have found it unused.
  for (let isBuilt = false; ; isBuilt = true) {
    if (await isTaken(path)) {
      if (isBuilt) await prune(base, path);
      return path;
    }
    const building = join(base, `.building-${process.pid}`);
    const scratch = join(base, `.scratch-${process.pid}`);
    try {
      await build(building, scratch);
      await rename(building, path).catch((error: NodeJS.ErrnoException) => {
        // Another run finished the same first; its root is as good as ours.
        if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      });
    } finally {
      await removeUnmounted(building);
      await removeUnmounted(scratch);
    }
  }
}

/** Whether the root is there, and then this process's to use until it ends. */
async function isTaken(path: string): Promise<boolean> {
  const release = await lockRoots(dirname(path));
  try {
    const isThere = await isDirectory(path);
    if (isThere) await markUse(path);
    return isThere;
  } finally {
    release();
  }
}

async function bootstrap(
  recipe: Recipe,
  target: string,
  scratch: string,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<void> {
  const repository = await makeDummyRepository(scratch);
  const sources = await debianSources(recipe.suite);
  const include = [...recipe.packages, ...(recipe.boots ? [STANDIN, SYSUSERS] : [])].join(",");
  const hooks = customizeHooks(recipe).map((hook) => `--customize-hook=${hook}`);
  const excludes = LEFT_OUT.map((glob) => `--dpkgopt=path-exclude=${glob}`);
  // In a pid and mount namespace of its own, so that its end, which follows ours, is the end of all.
  const build = $({
    nothrow: true,
    quiet: true,
    env: { ...process.env, CLIENTS_DIR: scratch, LC_ALL: "C.UTF-8" },
  })`setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc \
    mmdebstrap --mode=root --variant=minbase ${APT_OPTIONS} ${excludes} \
    --include=${include} ${hooks} \
    ${recipe.suite} ${target} ${sources} ${`deb [trusted=yes] copy://${repository} ./`}`;
  killOnAbort(build, signal);
  let last: string[] = [];
  for await (const line of build.stderr as AsyncIterable<Buffer>) {
    const lines = line
      .toString()
      .split(/[\r\n]+/)
      .filter((text) => text.trim() !== "");
    last = [...last, ...lines].slice(-8);
    for (const text of lines) onLine(text);
  }
  const done = await build;
  signal.throwIfAborted();
  if (done.exitCode !== 0) {
    throw new HostError(`mmdebstrap failed (${done.exitCode}):\n  ${last.join("\n  ")}`);
  }
}

/** A flat apt repository with the dummy package in it. */
async function makeDummyRepository(scratch: string): Promise<string> {
  const tree = join(scratch, "dummy");
  const repository = join(scratch, "repository");
  await mkdir(repository, { recursive: true });
  await Bun.write(join(tree, "DEBIAN", "control"), DUMMY_CONTROL);
  await Bun.write(join(tree, TMPFILES), "#!/bin/sh\n");
  await chmod(join(tree, TMPFILES), 0o755);
  const deb = join(repository, `${STANDIN}.deb`);
  await $({ quiet: true })`dpkg-deb --root-owner-group --build ${tree} ${deb}`;
  const bytes = await Bun.file(deb).bytes();
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const index = `${DUMMY_CONTROL}Filename: ./${STANDIN}.deb\nSize: ${bytes.length}\nSHA256: ${sha256}\n`;
  await Bun.write(join(repository, "Packages"), index);
  return repository;
}

/** Removes the roots of a folder that nobody uses, but one, and what broken-off builds have left. */
export async function prune(base: string, keep: string): Promise<void> {
  const release = await lockRoots(base);
  const unused: string[] = [];
  try {
    const used = await usedRoots(base);
    for (const name of await readdir(base)) {
      const path = join(base, name);
      const owner = /^\.(?:building|scratch|removing)-(\d+)\b/.exec(name)?.[1];
      if (owner !== undefined) {
        if (!(await isDirectory(`/proc/${owner}`))) unused.push(path);
      } else if (!name.startsWith(".") && path !== keep && !used.has(path)) {
        // Out of the way at once, since the removal takes longer than a lock should be held.
        const away = join(base, `.removing-${process.pid}-${name}`);
        await rename(path, away);
        unused.push(away);
      }
    }
  } finally {
    release();
  }
  for (const path of unused) await rm(path, { recursive: true, force: true });
}

async function isDirectory(path: string): Promise<boolean> {
  return readdir(path).then(
    () => true,
    () => false,
  );
}
