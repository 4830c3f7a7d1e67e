/** Seats that come and go with their devices: seat0 always, others by a master device of udev's. */
import { seatsOfDevices } from "../hardware/udev.ts";
import type { Seat, Session } from "../model/objects.ts";
import type { Registry } from "../model/registry.ts";
import type { Publisher } from "../state/publisher.ts";
import type { Foreground } from "./foreground.ts";

export class SeatHotplug {
  #graphical = new Set<string>();

  /** @param release ends a session, as its leader would */
  constructor(
    private readonly registry: Registry,
    private readonly publisher: Publisher,
    private readonly foreground: Foreground,
    private readonly release: (session: Session) => void,
  ) {}

  /** Takes note of what there is, without telling anybody. */
  start(): void {
    this.#graphical = seatsOfDevices();
  }

  /** Adds and takes away what has changed in the database since. */
  refresh(): void {
    const before = this.#graphical;
    const present = seatsOfDevices();
    this.#graphical = present;
    const { seats } = this.registry;
    for (const id of present) if (!seats.has(id)) this.#add(id);
    for (const seat of [...seats.values()]) {
      if (seat.id !== "seat0" && !present.has(seat.id)) this.#remove(seat);
      else if (seat.id === "seat0" && before.has(seat.id) !== present.has(seat.id)) {
        this.publisher.changes.seat(seat, "CanGraphical");
        this.publisher.flush();
      }
    }
  }

  #add(id: string): void {
    const seat = this.registry.addSeat(id);
    this.publisher.notifier.noteSeat(seat);
    this.publisher.changes.seat(seat);
    this.publisher.persist();
    this.publisher.notifier.seatNew(seat);
    this.publisher.flush();
  }

  /** The sessions on it end with it. */
  #remove(seat: Seat): void {
    this.releaseSessionsOn(seat);
    // Also one that was closing before, and brought to the foreground then.
    this.foreground.clear(seat);
    this.registry.removeSeat(seat);
    this.publisher.forgetSeat(seat);
    this.publisher.notifier.seatRemoved(seat);
    this.publisher.flush();
  }

  releaseSessionsOn(seat: Seat): void {
    for (const session of [...seat.sessions]) this.release(session);
  }
}
