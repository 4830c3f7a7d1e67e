/** What a session's devices need of the rest, and tell it. */
import type { Fd } from "../../linux/index.ts";
import type { Seat, Session } from "../model/objects.ts";
import type { TakeableDevice } from "./device-kinds.ts";

/** A device that a session has. */
export interface TakenDevice extends TakeableDevice {
  fd: Fd;
  active: boolean;
  /** Its controller was asked to pause it for a switch, and has not answered yet: one that is to come, or was called off. */
  asked?: "for a switch" | "in vain" | undefined;
}

/** What `PauseDevice` says: asked for, done already, or the device is no more. */
export type Pause = "pause" | "force" | "gone";

/** Tells a session's controller, and nobody else. */
export interface DeviceEvents {
  paused(session: Session, major: number, minor: number, how: Pause): void;
  /** The descriptor belongs to the receiver. */
  resumed(session: Session, major: number, minor: number, fd: Fd): void;
}

/** What the devices need of the rest of login1. */
export interface DeviceHost {
  completeSwitch(seat: Seat): void;
  sessionChanged(session: Session): void;
}

/** Looks a device up by its number. */
export interface DeviceLookup {
  /** @returns undefined if there is none, or none that can be taken */
  find(number: string): TakeableDevice | undefined;
  /** Whether an open file is one of the device, of which nothing else is known. */
  isOpenOn(fd: Fd, number: string): boolean;
  /** The seat that a device is on; undefined if udev has given it to none. */
  seatOf(device: TakeableDevice): string | undefined;
}

/** Keeps open files for the next run; see DescriptorKeeper in lib/notify. */
export interface DescriptorStore {
  /** What the last run left, by name; the descriptors are the caller's, and stay kept. */
  fetch(): Promise<Map<string, Fd>>;
  /** Resolves when it is kept, or when waiting is of no use. Must not reject. */
  keep(name: string, fd: Fd): Promise<void>;
  /** To be called before what has the name is closed. */
  drop(name: string): void;
  /** Ends what waits. */
  stop(): void;
}
