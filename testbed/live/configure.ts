/** Makes a bare root into the test system: stand-ins, the live user, greetd, OpenRC's settings. */
import { chmod, cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { HostError, type HostKind } from "../../scripts/host.ts";
import { merged, upper, withOverlay } from "../../scripts/lib/overlay.ts";

/** Who greetd logs in at boot. */
export const LIVE_USER = "liveuser";

const CHECKOUT = join(import.meta.dir, "../..");

/** The parts of the live system's overlay that the test system shares with it. */
const FROM_AIROOTFS = [
  "etc/skel",
  "etc/syslog-ng",
  "usr/local/bin",
  "usr/share/lainos",
  "usr/share/wayland-sessions",
  "usr/share/xsessions",
];

/** Our stand-ins and the runlevel each is in; protocol7-core's own services it adds itself. */
const STANDINS: Readonly<Record<string, string>> = {
  devfs: "sysinit",
  sysfs: "sysinit",
  root: "boot",
  localmount: "boot",
  hostname: "boot",
  bootmisc: "boot",
  loopback: "boot",
  // Debian's own: keeps the dependency cache for the next boot.
  savecache: "shutdown",
};

/**
 * A greetd configuration that logs the live user in by itself.
 *
 * @param vt the terminal's number, or greetd's word for which
 * @param command what the session is
 * @param greeter the user that greeters run as: Debian's name for it, where no other is given
 */
export function greetdConfig(vt: number | "none", command: string, greeter = "_greetd"): string {
  return `[terminal]
vt = ${JSON.stringify(vt)}

[initial_session]
command = "${command}"
user = "${LIVE_USER}"

# What follows when that session ends: a greeter that asks for nothing and stays.
[default_session]
command = "/usr/bin/sleep infinity"
user = "${greeter}"
`;
}

/**
 * greetd without a terminal, since terminals are the host's. Sway draws into memory: the test
 * system has no graphics card; on real hardware none of these variables is set.
 */
const SESSION =
  "env WLR_BACKENDS=headless WLR_RENDERER=pixman WLR_LIBINPUT_NO_DEVICES=1 /usr/local/bin/lainos-session-sway";

/** What the session shows, since nobody types into it. The pause lets the windows get their size. */
const SWAY = `exec foot --title session sh -c 'sleep 0.5; loginctl --no-pager list-sessions; echo; loginctl --no-pager session-status; exec sleep infinity'
exec foot --title services sh -c 'sleep 0.5; rc-status sysinit boot default; exec sleep infinity'
`;

const RC_CONF = `rc_parallel="NO"
rc_logger="YES"
rc_cgroup_mode="unified"
rc_tty_number=0
unicode="YES"
`;

const FILES: Readonly<Record<string, string>> = {
  "etc/hostname": "lainos\n",
  "etc/hosts": "127.0.0.1 localhost lainos\n",
  // The root has options, as most systems' have, that a mount elsewhere must not take for its own.
  "etc/fstab": "LABEL=lainos / btrfs subvol=/@,noauto 0 0\n",
  "etc/locale.conf": "LANG=C.UTF-8\n",
  // As Arch's has it, of Debian's only PAM's login and su read where the language is said.
  "etc/profile.d/locale.sh": "[ ! -r /etc/locale.conf ] || { . /etc/locale.conf; export LANG; }\n",
  // The clock is the host's: chronyd may run but not set it.
  "etc/conf.d/chrony": 'chrony_args="-x"\n',
  "etc/sway/config.d/90-test-system.conf": SWAY,
};

/** Before the package is installed: what its services need to be there. */
export async function addStandins(name: string): Promise<void> {
  const root = upper(name);
  // Those that the medium's stand-in has too, and in their place where this system has its own.
  const shared = join(CHECKOUT, "scripts/lib/openrc-standins");
  for (const from of [shared, join(import.meta.dir, "openrc-standins")]) {
    for (const script of await readdir(from)) {
      const target = join(root, "etc/init.d", script);
      await mkdir(dirname(target), { recursive: true });
      await cp(join(from, script), target);
      await chmod(target, 0o755);
    }
  }
  for (const [script, runlevel] of Object.entries(STANDINS)) {
    const target = join(root, "etc/runlevels", runlevel, script);
    await mkdir(dirname(target), { recursive: true });
    await symlink(`/etc/init.d/${script}`, target);
  }
}

/**
 * What differs in a root of Debian's packages, with stand-ins for OpenRC's services, from one of
 * pacman's, which has OpenRC's own.
 */
const DIFFERENCES: Readonly<Record<HostKind, { files: Record<string, string>; script: string }>> = {
  debian: {
    files: { "etc/rc.conf": RC_CONF, "etc/greetd/config.toml": greetdConfig("none", SESSION) },
    script: "",
  },
  arch: {
    files: {
      // OpenRC's own word for namespaces, by which services that need a machine know to stay away.
      "etc/rc.conf": `${RC_CONF}rc_sys="lxc"\n`,
      "etc/greetd/config.toml": greetdConfig("none", SESSION, "greeter"),
    },
    // What a hook does with each package, where protocol7-core is there before the others. There are
    // no terminals for gettys, and what stays away is in no runlevel, so that all the others start.
    script: `
/usr/libexec/lainos/sysusers
for script in $(grep -lE 'keyword .*-lxc' /etc/init.d/*); do rm -f /etc/runlevels/*/"\${script##*/}"; done
rm -f /etc/runlevels/*/agetty.* /etc/runlevels/*/lainos-serial
`,
  },
};

/**
 * Services of protocol7-core that a new network namespace has no use for: it has no radio, and iwd
 * does not start where the host's kernel lacks its ciphers.
 */
const LEFT_OUT = ["iwd"];

/**
 * After the package is installed, so that what we write is not in its way.
 * @param kind whose packages the root is made of.
 */
export async function configure(
  name: string,
  rootfs: string,
  kind: HostKind,
  signal?: AbortSignal,
): Promise<void> {
  const root = upper(name);
  const { files, script } = DIFFERENCES[kind];
  for (const part of FROM_AIROOTFS) {
    await cp(join(CHECKOUT, "airootfs", part), join(root, part), { recursive: true });
  }
  for (const [path, text] of Object.entries({ ...FILES, ...files })) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  await leaveKernelsLog(join(root, "etc/syslog-ng/syslog-ng.conf"));
  const commands = `${script}rm -f ${LEFT_OUT.map((one) => `/etc/runlevels/default/${one}`).join(" ")}${ADD_USERS}`;
  await withOverlay(name, rootfs, ["chroot", merged(name), "sh", "-euc", commands], signal);
}

/** The kernel's messages are the host's, which whoever reads them takes away: syslog-ng does without. */
async function leaveKernelsLog(file: string): Promise<void> {
  const text = await readFile(file, "utf8");
  const source = /^.*\/proc\/kmsg.*\n/m;
  if (!source.test(text)) throw new HostError(`${file} has no line with /proc/kmsg`);
  await writeFile(file, text.replace(source, ""));
}

/** No password: the live user's is empty and root's is locked, as `exec` needs neither. */
const ADD_USERS = `
for group in seat input render netdev; do getent group "$group" >/dev/null || groupadd -r "$group"; done
getent passwd ${LIVE_USER} >/dev/null || useradd -m -u 1000 -s /bin/bash ${LIVE_USER}
usermod -a -G audio,video,input,render ${LIVE_USER}
passwd -d ${LIVE_USER} >/dev/null
`;
