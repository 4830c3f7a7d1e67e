/** One seat: a set of hardware that one person sits at; see sd-login(3). */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { escapeLabel } from "../dbus/index.ts";
import { hasCode } from "../linux/index.ts";
import { SEAT_FOLDER, SEATS } from "./paths.ts";
import { combineIdle, type Idle, type Session } from "./session.ts";
import { hasVts } from "./vt.ts";

const UDEV_TAG = "/run/udev/tags/master-of-seat";
const UDEV_DATA = "/run/udev/data";

export class Seat {
  readonly sessions = new Set<Session>();
  /** The session in the foreground. */
  active: Session | undefined;

  constructor(readonly id: string) {}

  get objectPath(): string {
    return `${SEAT_FOLDER}/${escapeLabel(this.id)}`;
  }

  get stateFile(): string {
    return join(SEATS, this.id);
  }

  /** Only seat0 can have VTs, and only where the system has any. */
  get hasVts(): boolean {
    return this.id === "seat0" && hasVts();
  }

  /** True if udev has tagged a graphics device of this seat as its master. */
  get canGraphical(): boolean {
    let devices: string[];
    try {
      devices = readdirSync(UDEV_TAG);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return false;
      throw error;
    }
    return devices.some((device) => seatOfDevice(device) === this.id);
  }

  /** The session that a VT switch to `vt` brings up: the last that came to it and is not ending. */
  sessionAt(vt: number): Session | undefined {
    return [...this.sessions].findLast((session) => session.vtnr === vt && !session.stopping);
  }

  get idle(): Idle {
    return combineIdle([...this.sessions].map((session) => session.idle));
  }
}

/** A device's ID_SEAT in udev's database; devices without one belong to seat0. */
function seatOfDevice(device: string): string {
  try {
    const text = readFileSync(join(UDEV_DATA, device), "utf8");
    return /^E:ID_SEAT=(.+)$/m.exec(text)?.[1] ?? "seat0";
  } catch (error) {
    if (hasCode(error, "ENOENT")) return "seat0";
    throw error;
  }
}
