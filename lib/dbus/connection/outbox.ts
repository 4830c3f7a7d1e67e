/** What is to be sent, in one piece: every sendmsg(2) wakes the bus. */
import { close, type Fd, send } from "../../linux/index.ts";

const USUAL_SIZE = 65536;

export class Outbox {
  #bytes = new Uint8Array(new ArrayBuffer(USUAL_SIZE));
  #start = 0;
  #end = 0;
  /** The descriptors that wait, each message's with the place of its first byte. */
  #fds: { at: number; fds: Fd[] }[] = [];

  /** How many bytes wait. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Adds a copy of `data`. Descriptors belong to the outbox from here on: it closes them once they are sent. */
  add(data: Uint8Array, fds: Fd[] = []): void {
    if (this.#end + data.length > this.#bytes.length) this.#makeRoom(data.length);
    if (fds.length > 0) this.#fds.push({ at: this.#end, fds });
    this.#bytes.set(data, this.#end);
    this.#end += data.length;
  }

  #makeRoom(length: number): void {
    const waiting = this.#bytes.subarray(this.#start, this.#end);
    if (waiting.length + length <= this.#bytes.length / 2) {
      this.#bytes.copyWithin(0, this.#start, this.#end);
    } else {
      const larger = new Uint8Array(new ArrayBuffer(2 * (waiting.length + length)));
      larger.set(waiting);
      this.#bytes = larger;
    }
    for (const waits of this.#fds) waits.at -= this.#start;
    this.#end -= this.#start;
    this.#start = 0;
  }

  /**
   * Sends what the socket takes.
   *
   * @returns whether that was all
   * @throws {SystemError}
   */
  flush(socket: Fd): boolean {
    while (this.#start < this.#end) {
      // Descriptors go with the first byte of their message, and never with that of another.
      const [first, second] = this.#fds;
      const fds = first?.at === this.#start ? first.fds : [];
      const next = fds === first?.fds ? second : first;
      const sent = send(socket, this.#bytes.subarray(this.#start, next?.at ?? this.#end), fds);
      if (sent === undefined) return false;
      if (fds.length > 0) this.#closeFirst();
      this.#start += sent;
    }
    this.#start = 0;
    this.#end = 0;
    if (this.#bytes.length > 16 * USUAL_SIZE) {
      this.#bytes = new Uint8Array(new ArrayBuffer(USUAL_SIZE));
    }
    return true;
  }

  #closeFirst(): void {
    for (const fd of this.#fds.shift()?.fds ?? []) close(fd);
  }

  /** Gives up what waits. */
  clear(): void {
    while (this.#fds.length > 0) this.#closeFirst();
    this.#start = 0;
    this.#end = 0;
  }
}
