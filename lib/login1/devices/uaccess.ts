/**
 * Lets the user of each seat's foreground session open the devices that udev has
 * tagged `uaccess`, by access control lists on their nodes, and nobody else: what
 * sound, graphics, cameras and game controllers are used by without a group. A
 * session that asked for `render` (ExtraDeviceAccess) has those that are tagged
 * `xaccess-render` besides, wherever it is, as long as it is open.
 */
import type { Logger } from "../../cli/index.ts";
import { hasCode, messageOf, setUserAccess } from "../../linux/index.ts";
import { type SharedNode, sharedNodes } from "../hardware/udev.ts";
import type { Seat, Session } from "../model/objects.ts";
import type { SessionObserver } from "../state/pending-changes.ts";

/** The seats and sessions that there are. */
interface RegistryView {
  readonly seats: ReadonlyMap<string, Seat>;
  readonly sessions: ReadonlyMap<string, Session>;
}

const ROOT = 0;

export class Uaccess implements SessionObserver {
  /** What cannot be given, by node, so that each is said once. */
  readonly #failed = new Map<string, string>();

  constructor(
    private readonly log: Logger,
    private readonly registry: RegistryView,
  ) {}

  /** Sees to all nodes, as they are now. */
  refresh(): void {
    for (const node of sharedNodes()) this.#settle(node);
  }

  left(session: Session, after: Session | undefined): void {
    if (session.user.uid !== after?.user.uid) this.#settleSeat(session.seat);
  }

  entered(session: Session, before: Session | undefined): void {
    // From another session it went at once, when that one left.
    if (before === undefined) this.#settleSeat(session.seat);
  }

  #settleSeat(seat: Seat | undefined): void {
    for (const node of sharedNodes()) if (node.seat === seat?.id) this.#settle(node);
  }

  openChanged(session: Session): void {
    // As most do: then no node is looked for.
    if (session.extraDeviceAccess.length === 0) return;
    for (const node of sharedNodes()) if (asksFor(session, node)) this.#settle(node);
  }

  #settle(node: SharedNode): void {
    const { path, number } = node;
    try {
      setUserAccess(path, number, this.#users(node));
      this.#failed.delete(path);
    } catch (error) {
      // Unplugged meanwhile; udev tells of what took its place.
      if (hasCode(error, "ENOENT", "ENODEV")) return;
      const reason = messageOf(error);
      if (this.#failed.get(path) === reason) return;
      this.#failed.set(path, reason);
      this.log.warning(`${path} cannot be given to those whose sessions may open it: ${reason}`);
    }
  }

  #users(node: SharedNode): Set<number> {
    const { seat } = node;
    const uids = new Set<number>();
    // A seat that udev names before it has a master has nobody.
    const active = seat === undefined ? undefined : this.registry.seats.get(seat)?.active;
    if (active) uids.add(active.user.uid);
    for (const session of this.registry.sessions.values()) {
      if (!session.stopping && asksFor(session, node)) uids.add(session.user.uid);
    }
    // As it may anyway.
    uids.delete(ROOT);
    return uids;
  }
}

/** Whether a session may have a node that is not its seat's. */
function asksFor({ extraDeviceAccess }: Session, { extra }: SharedNode): boolean {
  return extra.some((name) => extraDeviceAccess.includes(name));
}
