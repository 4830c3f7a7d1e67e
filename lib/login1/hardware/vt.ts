/** Virtual terminals; see console_ioctl(2) and the kernel's /sys/class/tty/tty0/active. */
import { existsSync, readFileSync } from "node:fs";
import {
  changeOwnerOf,
  close,
  type Fd,
  hasCode,
  IN_MODIFY,
  ioctl,
  ioctlBytes,
  messageOf,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDWR,
  open,
  watchPath,
} from "../../linux/index.ts";

const ACTIVE_FILE = "/sys/class/tty/tty0/active";
const CONSOLE = "/dev/tty0";
const VT_ACTIVATE = 0x5606;

/** The kernel has no more than this (MAX_NR_CONSOLES). */
export const MOST_VTS = 63;

/** True where the system has VTs; a container and some servers have none. */
export function hasVts(): boolean {
  return existsSync(CONSOLE) && existsSync(ACTIVE_FILE);
}

/** The number of the VT in the foreground; undefined if it is a console of another kind. */
export function activeVt(): number | undefined {
  return vtNumber(readFileSync(ACTIVE_FILE, "utf8").trim());
}

/** The VT that a tty name (`tty7`, `/dev/tty7`) stands for; undefined for any other tty. */
export function vtNumber(tty: string): number | undefined {
  const digits = /^(?:\/dev\/)?tty([1-9]\d?)$/.exec(tty)?.[1];
  const number = Number(digits);
  return digits !== undefined && number <= MOST_VTS ? number : undefined;
}

/**
 * Calls `changed` after each VT switch, by the kernel's notification on its sysfs file.
 *
 * @returns a function that ends the watch
 */
export function watchActiveVt(changed: () => void): () => void {
  return watchPath(ACTIVE_FILE, IN_MODIFY, changed);
}

/**
 * Brings a VT to the foreground.
 *
 * @throws {SystemError} that names the ioctl
 */
export function switchVt(number: number): void {
  const console = open(CONSOLE, O_RDWR | O_NOCTTY | O_NONBLOCK);
  try {
    ioctl(console, VT_ACTIVATE, number, "VT_ACTIVATE");
  } finally {
    close(console);
  }
}

const KDSETMODE = 0x4b3a;
const KD_TEXT = 0;
const KD_GRAPHICS = 1;
const KDSKBMODE = 0x4b45;
const K_UNICODE = 3;
const K_OFF = 4;
const VT_GETMODE = 0x5601;
const VT_SETMODE = 0x5602;
const VT_RELDISP = 0x5605;
const VT_AUTO = 0;
const VT_PROCESS = 1;
/** The kernel asks with it whether it may leave a VT that we control. */
export const VT_RELEASE_SIGNAL = "SIGUSR2";
const RELEASE_NUMBER = 12;
/** What the kernel sends on coming back; nothing is to be done then, and SIGURG does nothing. */
const ACQUIRE_NUMBER = 23;

/**
 * The VT of a session with a controller: the keyboard reaches the console no
 * more, the console draws nothing, and leaving it waits for us, who pause the
 * session's devices first. See console_ioctl(2).
 */
export class ControlledVt {
  #fd: Fd;

  private constructor(readonly number: number) {
    this.#fd = openVt(number);
  }

  /**
   * Takes a VT for a controller of this uid, whose terminal it becomes.
   *
   * @throws {SystemError} with the VT as it was, as far as that can be
   */
  static prepare(number: number, uid: number): ControlledVt {
    const vt = new ControlledVt(number);
    try {
      changeOwnerOf(vt.#fd, uid, -1);
      ioctl(vt.#fd, KDSKBMODE, K_OFF, "KDSKBMODE");
      ioctl(vt.#fd, KDSETMODE, KD_GRAPHICS, "KDSETMODE");
      vt.#setMode(VT_PROCESS);
    } catch (error) {
      try {
        vt.restore();
      } catch (second) {
        if (error instanceof Error) error.message += `; giving it back: ${messageOf(second)}`;
      }
      throw error;
    }
    return vt;
  }

  /**
   * Takes up a VT that an earlier run has prepared. What the controller made of
   * it since stays; only if the kernel would still ask that earlier run, it now asks us.
   */
  static resume(number: number): ControlledVt {
    const vt = new ControlledVt(number);
    try {
      const mode = new DataView(new ArrayBuffer(8));
      ioctlBytes(vt.#fd, VT_GETMODE, new Uint8Array(mode.buffer), "VT_GETMODE");
      const isOurs = mode.getUint8(0) === VT_PROCESS && mode.getInt16(2, true) === RELEASE_NUMBER;
      if (isOurs) vt.#setMode(VT_PROCESS);
    } catch (error) {
      close(vt.#fd);
      throw error;
    }
    return vt;
  }

  #setMode(mode: number): void {
    const argument = new DataView(new ArrayBuffer(8));
    argument.setUint8(0, mode);
    if (mode === VT_PROCESS) {
      argument.setInt16(2, RELEASE_NUMBER, true);
      argument.setInt16(4, ACQUIRE_NUMBER, true);
    }
    ioctlBytes(this.#fd, VT_SETMODE, new Uint8Array(argument.buffer), "VT_SETMODE");
  }

  /**
   * Lets the kernel leave the VT, as it has asked by `VT_RELEASE_SIGNAL`.
   *
   * @throws {SystemError} EINVAL if it has not asked
   */
  release(): void {
    this.#onTerminal((fd) => ioctl(fd, VT_RELDISP, 1, "VT_RELDISP"));
  }

  /**
   * Gives the VT back to text, keyboard and root, and lets go of it. A switch that the kernel has asked
   * for is made first: by the new mode it would be lost.
   *
   * @throws {SystemError} the first that failed, when all else is done and the terminal is closed
   */
  restore(): void {
    try {
      this.#onTerminal(giveBack);
    } finally {
      close(this.#fd);
    }
  }

  /**
   * Does something to the terminal. A controller that was its session leader has hung it up by its end,
   * and then only a new opening of it works.
   */
  #onTerminal(act: (fd: Fd) => void): void {
    try {
      act(this.#fd);
    } catch (error) {
      if (!hasCode(error, "EIO")) throw error;
      const opened = openVt(this.number);
      close(this.#fd);
      this.#fd = opened;
      act(this.#fd);
    }
  }

  /** Lets go of the VT and leaves it as it is, for the next run. */
  keep(): void {
    close(this.#fd);
  }
}

const openVt = (number: number): Fd => open(`/dev/tty${number}`, O_RDWR | O_NOCTTY | O_NONBLOCK);

function leaveIfAsked(fd: Fd): void {
  try {
    ioctl(fd, VT_RELDISP, 1, "VT_RELDISP");
  } catch (error) {
    if (!hasCode(error, "EINVAL")) throw error;
  }
}

/** Each step whether or not the one before it worked: a keyboard that is off is a dead console. */
function giveBack(fd: Fd): void {
  const failures: unknown[] = [];
  for (const step of [
    () => leaveIfAsked(fd),
    () => ioctl(fd, KDSKBMODE, K_UNICODE, "KDSKBMODE"),
    () => ioctl(fd, KDSETMODE, KD_TEXT, "KDSETMODE"),
    () => ioctlBytes(fd, VT_SETMODE, Uint8Array.of(VT_AUTO, 0, 0, 0, 0, 0, 0, 0), "VT_SETMODE"),
    () => changeOwnerOf(fd, 0, -1),
  ]) {
    try {
      step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
