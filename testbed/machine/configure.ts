/** What a machine has in its root that differs from the container test system. */
import { chmod, cp, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { merged, withOverlay } from "../../scripts/lib/overlay.ts";
import { greetdConfig } from "../live/configure.ts";

const OWN = join(import.meta.dir, "openrc-standins");

/** The medium's stand-in has them too. */
const SHARED = join(import.meta.dir, "../../scripts/lib/openrc-standins");

/** What takes the place of stand-ins of that name or comes beside them, all in the runlevel sysinit. */
const STANDINS: readonly string[] = [
  join(SHARED, "devfs"),
  join(OWN, "udev"),
  join(OWN, "machine-agent"),
];

/** What Sway prints, in the machine. */
export const DESKTOP_LOG = "/tmp/desktop.log";

/**
 * greetd on the first terminal, as on the live medium, but with a login by itself. The graphics card
 * draws no faster than the processor here, so Sway does without OpenGL.
 */
const GREETD = greetdConfig(
  1,
  `env LIBSEAT_BACKEND=logind WLR_RENDERER=pixman /usr/local/bin/lainos-session-sway >${DESKTOP_LOG} 2>&1`,
);

const FILES: Readonly<Record<string, string>> = {
  "etc/greetd/config.toml": GREETD,
  // The clock is the machine's own, and there is no network to take the time from.
  "etc/conf.d/chrony": "",
};

/** Nothing to serve without a network, and slow to start. */
const LEFT_OUT = ["chrony", "dhcpcd", "iwd", "seatd"];

/** As it is, with the kernel's messages, which are the machine's own. */
const SYSLOG = join(import.meta.dir, "../../airootfs/etc/syslog-ng/syslog-ng.conf");

/** @param upper the folder that will lie over the root. */
export async function configureMachine(upper: string): Promise<void> {
  for (const from of STANDINS) {
    const script = basename(from);
    const target = join(upper, "etc/init.d", script);
    await cp(from, target);
    await chmod(target, 0o755);
    const link = join(upper, "etc/runlevels/sysinit", script);
    await rm(link, { force: true });
    await symlink(`/etc/init.d/${script}`, link);
  }
  const agent = join(upper, "usr/local/libexec/machine-agent");
  await mkdir(dirname(agent), { recursive: true });
  await cp(join(import.meta.dir, "agent.sh"), agent);
  await chmod(agent, 0o755);
  for (const [path, text] of Object.entries(FILES)) {
    await mkdir(dirname(join(upper, path)), { recursive: true });
    await writeFile(join(upper, path), text);
  }
  await cp(SYSLOG, join(upper, "etc/syslog-ng/syslog-ng.conf"));
  for (const service of LEFT_OUT) {
    await rm(join(upper, "etc/runlevels/default", service), { force: true });
  }
}

/** As the service savecache does when a system goes down. */
const SAVE_CACHE = `mkdir -p /run/openrc /lib/rc/cache && rc-update --update &&
  echo shutdown >/run/openrc/softlevel &&
  cp -p /run/openrc/deptree /run/openrc/softlevel /lib/rc/cache/ &&
  rm -r /run/openrc`;

/** Has OpenRC read its services here, which takes long on a processor that is emulated. */
export async function cacheDependencies(
  name: string,
  rootfs: string,
  signal: AbortSignal,
): Promise<void> {
  await withOverlay(name, rootfs, ["chroot", merged(name), "sh", "-euc", SAVE_CACHE], signal);
}
