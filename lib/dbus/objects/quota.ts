/**
 * What each user has under way: calls whose answers wait for something, with what they said. Without
 * it a user could have us keep all that one's connections to the bus may send. dbus-broker accounts
 * for its users in the same way.
 */

/** How much an owner may have under way. */
interface Share {
  calls: number;
  bytes: number;
}

/** A user, who may have many connections. */
const OF_USER: Share = { calls: 2048, bytes: 2 ** 21 };
/** A connection of which the bus has not told yet whose it is: it may be root's, who may have more. */
const OF_STRANGER: Share = { calls: 16_384, bytes: 2 ** 22 };
/** All that are not root's together; root is not kept out by the others. */
const OF_ALL: Share = { calls: 32_768, bytes: 2 ** 25 };

/** Who a call is counted for: a uid, or the unique name while that is not known. */
export type Owner = number | string;

const ROOT = 0;

export class Quota {
  readonly #owned = new Map<Owner, Share>();
  readonly #all: Share = { calls: 0, bytes: 0 };

  /** Whether one more call of that length is too much for its owner, or for all. */
  isFull(owner: Owner, bytes: number): boolean {
    if (owner === ROOT) return false;
    const share = typeof owner === "number" ? OF_USER : OF_STRANGER;
    const own = this.#owned.get(owner);
    return exceeds(this.#all, bytes, OF_ALL) || (own !== undefined && exceeds(own, bytes, share));
  }

  /** Counts a call that waits. @returns a function that ends the count, to be called once */
  take(owner: Owner, bytes: number): () => void {
    if (owner === ROOT) return () => {};
    const own = this.#owned.get(owner) ?? { calls: 0, bytes: 0 };
    this.#owned.set(owner, own);
    for (const share of [own, this.#all]) {
      share.calls++;
      share.bytes += bytes;
    }
    return () => {
      for (const share of [own, this.#all]) {
        share.calls--;
        share.bytes -= bytes;
      }
      if (own.calls === 0) this.#owned.delete(owner);
    };
  }
}

const exceeds = (held: Share, bytes: number, most: Share) =>
  held.calls >= most.calls || held.bytes + bytes > most.bytes;
