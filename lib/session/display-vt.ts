/** The virtual terminal of an X display, which the login program may not say: pam_systemd(8) looks for it too. */
import { listenerAt, majorMinor, processStatus, SystemError } from "../linux/index.ts";

/** Major number of virtual terminals and serial lines; see devices.txt of the kernel. */
const TTY_MAJOR = 4;
const LAST_VT = 63;

/**
 * The number of the VT that a display's X server runs on: its controlling terminal.
 *
 * @param display `:0`, `:0.0`; a display of another machine has none here
 * @returns 0 if there is none, or no server
 */
export function vtOfDisplay(display: string): number {
  const [, number] = /^:(\d{1,9})/.exec(display) ?? [];
  if (number === undefined) return 0;
  const file = `/tmp/.X11-unix/X${number}`;
  for (const path of [`@${file}`, file]) {
    try {
      const { pid } = listenerAt(path);
      // 0: a process of another pid namespace
      return vtOfTerminal((pid > 0 && processStatus(pid)?.tty) || 0);
    } catch (error) {
      // Nobody listens there, or it is no such socket: the folder is everybody's, and a login goes on.
      if (!(error instanceof SystemError)) throw error;
    }
  }
  return 0;
}

function vtOfTerminal(device: number): number {
  const [major, minor = 0] = majorMinor(device).split(":").map(Number);
  return major === TTY_MAJOR && minor <= LAST_VT ? minor : 0;
}
