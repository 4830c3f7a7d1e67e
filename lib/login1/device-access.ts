/**
 * Lets the user of each seat's foreground session open the devices that udev has
 * tagged `uaccess`, by access control lists on their nodes, and nobody else: what
 * sound, graphics, cameras and game controllers are used by without a group.
 */
import type { Logger } from "../cli/index.ts";
import { hasCode, messageOf, setUserAccess } from "../linux/index.ts";
import type { SessionFollower } from "./changes.ts";
import type { Seat } from "./seat.ts";
import type { Session } from "./session.ts";
import { type SharedNode, sharedNodes } from "./udev.ts";

export class DeviceAccess implements SessionFollower {
  /** What cannot be given, by node, so that each is said once. */
  readonly #failed = new Map<string, string>();

  constructor(
    private readonly log: Logger,
    private readonly seats: ReadonlyMap<string, Seat>,
  ) {}

  /** Sees to all nodes of all seats, as they are now. */
  refresh(): void {
    for (const node of sharedNodes()) this.#settle(node);
  }

  foreground(before: Session | undefined, after: Session | undefined): void {
    if (before?.user.uid === after?.user.uid) return;
    const seat = (after ?? before)?.seat;
    for (const node of sharedNodes()) if (node.seat === seat?.id) this.#settle(node);
  }

  leaving(): boolean {
    return true;
  }

  ended(): void {
    // What a session in the foreground leaves, `foreground` sees to.
  }

  #settle({ path, number, seat }: SharedNode): void {
    // Root may as it is, and a seat that udev names before it has a master has nobody.
    const uid = this.seats.get(seat)?.active?.user.uid || undefined;
    try {
      setUserAccess(path, number, uid);
      this.#failed.delete(path);
    } catch (error) {
      // Unplugged meanwhile; udev tells of what took its place.
      if (hasCode(error, "ENOENT", "ENODEV")) return;
      const reason = messageOf(error);
      if (this.#failed.get(path) === reason) return;
      this.#failed.set(path, reason);
      this.log.warning(`who sits at ${seat} may not open ${path} by it: ${reason}`);
    }
  }
}
