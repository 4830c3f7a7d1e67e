/** Descriptors that services left to be kept; see FDSTORE=1 in sd_notify(3). */
import {
  closeAside,
  DescriptorWatch,
  type Fd,
  isSafeToPoll,
  isSameOpenFile,
} from "../../linux/index.ts";
import type { LastingFailure } from "../failures/lasting-failure.ts";

/** How soon one that could not be watched is tried again, in milliseconds. */
const WATCH_AGAIN = 1000;

/** One that is kept. */
export interface Stored {
  fd: Fd;
  name: string;
}

export interface FdStoreOptions {
  /** So many are kept of all services together. */
  most: number;
  /** Called when descriptors went by themselves, because their other end did. */
  changed: (service: string, why: string) => void;
  /** Is told when it cannot be seen whether they hang up, and when it can again. */
  failure: LastingFailure;
}

/** Owns the descriptors that are given to it. */
export class FdStore {
  readonly #byService = new Map<string, Stored[]>();
  readonly #watch = new DescriptorWatch("hang-ups");
  readonly #options: FdStoreOptions;
  /** Those that are to be watched and are not yet. */
  readonly #unwatched = new Map<Fd, () => void>();
  #again: Timer | undefined;
  #count = 0;

  constructor(options: FdStoreOptions) {
    this.#options = options;
  }

  /**
   * Keeps a descriptor, or closes it.
   *
   * @param poll whether it goes when it hangs up, if it is of a kind that can be watched without waiting
   * @param most how many its service may have here
   */
  add(
    service: string,
    { fd, name }: Stored,
    poll: boolean,
    most: number,
  ): "stored" | "duplicate" | "full" {
    const kept = this.#byService.get(service) ?? [];
    const answer = kept.some((other) => isSameOpenFile(other.fd, fd))
      ? "duplicate"
      : kept.length >= most || this.#count >= this.#options.most
        ? "full"
        : "stored";
    if (answer !== "stored") {
      closeAside(service, [fd]);
      return answer;
    }
    kept.push({ fd, name });
    this.#byService.set(service, kept);
    this.#count++;
    // Of the others only a device could hang up, and a FUSE file that looks like one never answers.
    if (poll) {
      this.#unwatched.set(fd, () => this.#hungUp(service, fd, name));
      this.#watchAll();
    }
    return answer;
  }

  /** What is kept for a service, in the order in which it came; it stays the store's. */
  list(service: string): readonly Stored[] {
    return this.#byService.get(service) ?? [];
  }

  /** Closes those of this name, or all; returns how many. */
  remove(service: string, name?: string): number {
    return this.#drop(service, (stored) => name === undefined || stored.name === name);
  }

  /** Closes everything. */
  end(): void {
    for (const service of [...this.#byService.keys()]) this.remove(service);
    this.#watch.end();
    clearTimeout(this.#again);
  }

  /** Watches all that is to be watched, or tries it again later. */
  #watchAll(): void {
    clearTimeout(this.#again);
    this.#again = undefined;
    try {
      for (const [fd, hungUp] of this.#unwatched) {
        if (isSafeToPoll(fd)) this.#watch.add(fd, hungUp);
        this.#unwatched.delete(fd);
      }
      this.#options.failure.worked();
    } catch (error) {
      this.#options.failure.failed(error);
      this.#again = setTimeout(() => this.#watchAll(), WATCH_AGAIN);
    }
  }

  #hungUp(service: string, fd: Fd, name: string): void {
    this.#drop(service, (stored) => stored.fd === fd);
    this.#options.changed(service, `the descriptor ${name} hung up, and is kept no more`);
  }

  #drop(service: string, isMeant: (stored: Stored) => boolean): number {
    const kept = this.list(service);
    const gone = kept.filter(isMeant);
    const rest = kept.filter((stored) => !gone.includes(stored));
    if (rest.length > 0) this.#byService.set(service, rest);
    else this.#byService.delete(service);
    for (const { fd } of gone) {
      this.#unwatched.delete(fd);
      this.#watch.remove(fd);
    }
    closeAside(
      service,
      gone.map(({ fd }) => fd),
    );
    this.#count -= gone.length;
    return gone.length;
  }
}
