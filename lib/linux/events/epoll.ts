/** Instances of epoll(7), which are asked and never waited for. */
import { check } from "../ffi/errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { libc, Memory } from "../ffi/libc.ts";

export const EPOLLIN = 1;
export const EPOLLOUT = 4;
export const EPOLLET = 2 ** 31;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
/** struct epoll_event is packed on x86-64: 32 bits of events, 64 of data. */
const EVENT_SIZE = 12;

/** For one call at a time. */
const event = new Memory(EVENT_SIZE);

/** A new instance, the caller's to close. */
export function createEpoll(what: string): Fd {
  return check(libc.epoll_create1(EPOLL_CLOEXEC), "epoll_create1", what);
}

/**
 * Has it look at `fd` too.
 *
 * @param wanted EPOLL* bits; hang-ups and failures are told of unasked
 * @throws {SystemError} EPERM for a kind of file that cannot be polled, such as a plain one
 */
export function addToEpoll(epoll: Fd, fd: Fd, wanted: number): void {
  event.view.setUint32(0, wanted, true);
  event.view.setUint32(4, fd, true);
  const result = libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event.bytes);
  check(result, "epoll_ctl", `descriptor ${fd}`);
}

/** Has it look at `fd` no more, if it did. */
export function removeFromEpoll(epoll: Fd, fd: Fd): void {
  libc.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, event.bytes);
}

/** Those of an instance that are ready, so many at a time. */
export class Ready {
  readonly #events: Memory;

  constructor(readonly most: number) {
    this.#events = new Memory(most * EVENT_SIZE);
  }

  /** How many are ready now. */
  ask(epoll: Fd): number {
    return Math.max(0, libc.epoll_wait(epoll, this.#events.bytes, this.most, 0));
  }

  /** One of those, by its place among them. */
  at(index: number): Fd {
    return this.#events.view.getUint32(index * EVENT_SIZE + 4, true);
  }
}
