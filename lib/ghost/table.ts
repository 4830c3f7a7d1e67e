/** Which folders there must be, and for whom. */

/** One folder; all of them are root:root. */
export interface Folder {
  /** Below /run. */
  readonly path: string;
  readonly mode: number;
  /** Who needs it. */
  readonly neededBy: string;
  /** What goes wrong without it, or what it says. */
  readonly reason: string;
}

const open = 0o755;

/**
 * In the order of making: a folder comes after the one that it is in. The modes
 * are those of systemd's tmpfiles.d/systemd.conf and of RuntimeDirectory= in its
 * systemd-logind.service: everybody reads, root alone writes.
 */
export const FOLDERS: readonly Folder[] = [
  {
    path: "systemd",
    mode: open,
    neededBy: "lainos-notifyd",
    reason: "the socket /run/systemd/notify is bound in it",
  },
  {
    path: "systemd/system",
    mode: open,
    neededBy: "sd_booted(3): loginctl, hostnamectl and whatever else speaks to the system bus so",
    reason: "without it loginctl ends with 'Host is down' before it asks the bus",
  },
  {
    path: "systemd/seats",
    mode: open,
    neededBy: "sd_login_monitor_new(3); polkit, pam_systemd, GDM, UDisks, UPower",
    reason: "its existence says that logind runs; the monitor fails with ENOENT without it",
  },
  {
    path: "systemd/sessions",
    mode: open,
    neededBy: "sd_login_monitor_new(3), sd_session_*(3)",
    reason: "a file for each session; the monitor fails with ENOENT without it",
  },
  {
    path: "systemd/users",
    mode: open,
    neededBy: "sd_login_monitor_new(3), sd_uid_*(3)",
    reason: "a file for each user; the monitor fails with ENOENT without it",
  },
  {
    path: "systemd/machines",
    mode: open,
    neededBy: "sd_login_monitor_new(3), sd_get_machine_names(3)",
    reason: "stays empty, but the monitor fails with ENOENT without it",
  },
  {
    path: "systemd/inhibit",
    mode: open,
    neededBy: "lainos-dbus-bridge",
    reason: "a file and a fifo for each inhibitor",
  },
  {
    path: "systemd/shutdown",
    mode: open,
    neededBy: "lainos-dbus-bridge; what watches for a scheduled power-off",
    reason: "the file `scheduled` appears in it",
  },
  {
    path: "systemd/ask-password",
    mode: open,
    neededBy: "password agents (Plymouth, systemd-tty-ask-password-agent)",
    reason: "they watch it by inotify from their start, which fails on a missing folder",
  },
];
