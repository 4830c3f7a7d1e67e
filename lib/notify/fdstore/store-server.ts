/** Hands back to services what is kept for them; see store-protocol.ts. */
import { rmSync } from "node:fs";
import type { Logger } from "../../cli/index.ts";
import {
  type Credentials,
  closeAside,
  closeConnection,
  type Fd,
  hasRoomFor,
  listenStream,
  messageOf,
  onConnection,
  onReadiness,
  openToAll,
  peerCredentials,
  ReceiveBuffer,
  type RoomLimits,
  receive,
  refuseDescriptors,
  send,
  userOwner,
} from "../../linux/index.ts";
import type { Stored } from "./fd-store.ts";
import {
  type Answer,
  MOST_REQUEST,
  PER_ANSWER,
  parseRequest,
  type Request,
} from "./store-protocol.ts";

const LIMITS: RoomLimits = { perUser: 16, total: 128 };
/** So many may wait for their turn: a user's storm fills less than a service's second attempt needs. */
const BACKLOG = 512;
/** How long one request and its answers may take, in milliseconds. */
const PATIENCE = 10_000;

/** What is kept, for whom. */
export interface KeptDescriptors {
  /** The service that a process is of, undefined for one of none. */
  serviceOf(process: Credentials): string | undefined;
  /** What is kept for a service. */
  list(service: string): readonly Stored[];
  /** Closes what is kept for a service, or what of it has this name; returns how many. */
  remove(service: string, name?: string): number;
}

interface Client {
  fd: Fd;
  uid: number;
  /** The service that it was of when it connected: later the pid may be another's. */
  service: string | undefined;
  request: string;
  /** What is still to be sent. */
  answers: { bytes: Uint8Array; fds: Fd[] }[];
  timer: Timer;
  endWatch: () => void;
}

/**
 * The store's socket, listening at `path`. The caller has made sure that no other daemon runs.
 *
 * @throws {SystemError}
 */
export function openStore(path: string): Fd {
  rmSync(path, { force: true });
  const fd = openToAll(() => listenStream(path, BACKLOG));
  // Nobody has any to send here; where the kernel cannot refuse them they are closed aside.
  refuseDescriptors(fd);
  return fd;
}

/** The listening socket and its connections. */
export class StoreServer {
  readonly #kept: KeptDescriptors;
  readonly #log: Logger;
  readonly #clients = new Set<Client>();
  readonly #buffer = new ReceiveBuffer(MOST_REQUEST + 1);
  readonly #endWatch: () => void;

  /** @param listener what `openStore` has opened */
  constructor(listener: Fd, kept: KeptDescriptors, log: Logger) {
    this.#kept = kept;
    this.#log = log;
    this.#endWatch = onConnection(
      listener,
      (fd) => this.#admit(fd),
      (error) => log.error(`descriptor store: ${messageOf(error)}`),
    );
  }

  /** Ends every connection. The listening socket stays the caller's. */
  stop(): void {
    this.#endWatch();
    for (const client of [...this.#clients]) this.#end(client);
  }

  #admit(fd: Fd): void {
    const peer = peerCredentials(fd);
    if (!this.#hasRoomFor(peer.uid)) {
      closeConnection(userOwner(peer.uid), fd);
      return;
    }
    const client: Client = {
      fd,
      uid: peer.uid,
      service: undefined,
      request: "",
      answers: [],
      timer: setTimeout(() => this.#end(client), PATIENCE),
      endWatch() {},
    };
    this.#clients.add(client);
    try {
      client.service = this.#kept.serviceOf(peer);
      client.endWatch = onReadiness(fd, () => this.#serve(client));
    } catch (error) {
      this.#end(client);
      throw error;
    }
  }

  #hasRoomFor(uid: number): boolean {
    const uids = [...this.#clients].map((client) => client.uid);
    return hasRoomFor(uid, uids, LIMITS);
  }

  #end(client: Client): void {
    if (!this.#clients.delete(client)) return;
    clearTimeout(client.timer);
    client.endWatch();
    // It may hold file descriptors that the client sent and nobody has read.
    closeConnection(userOwner(client.uid), client.fd);
  }

  /** Reads and writes until it would block; a connection that breaks is over. */
  #serve(client: Client): void {
    try {
      if (client.answers.length === 0 && !this.#read(client)) return;
      if (this.#write(client)) this.#end(client);
    } catch (error) {
      this.#log.debug(`descriptor store: ${messageOf(error)}`);
      this.#end(client);
    }
  }

  /** Reads the request; true if its answers are ready. */
  #read(client: Client): boolean {
    for (;;) {
      const received = receive(client.fd, this.#buffer);
      if (!received) return false;
      closeAside(userOwner(client.uid), received.fds);
      client.request += Buffer.from(received.data).toString("latin1");
      const end = client.request.indexOf("\n");
      if (end < 0 && received.data.length > 0 && client.request.length <= MOST_REQUEST) continue;
      const line = end < 0 ? "" : client.request.slice(0, end);
      client.answers = this.#answer(client, parseRequest(Buffer.from(line, "latin1").toString()));
      return true;
    }
  }

  /** Writes what it can; true if all of it has gone. */
  #write(client: Client): boolean {
    for (let [next] = client.answers; next; [next] = client.answers) {
      const sent = send(client.fd, next.bytes, next.fds);
      if (sent === undefined) return false;
      // The descriptors went with the first byte.
      next.fds = [];
      next.bytes = next.bytes.subarray(sent);
      if (next.bytes.length === 0) client.answers.shift();
    }
    return true;
  }

  #answer(client: Client, request: Request | undefined): Client["answers"] {
    const one = (answer: Answer, fds: Fd[] = []) => ({
      bytes: Buffer.from(`${JSON.stringify(answer)}\n`),
      fds,
    });
    if (!request) return [one({ error: "this is no request" })];
    const service = request.service ?? client.service;
    if (service === undefined) return [one({ error: "the caller is of no service: name one" })];
    if (client.uid !== 0 && service !== client.service) {
      return [one({ error: `only ${service} itself and root get what is kept for it` })];
    }
    if (request.do === "remove") {
      const removed = this.#kept.remove(service, request.name);
      return [one({ service, names: [], removed })];
    }
    const { name } = request;
    const meant = this.#kept
      .list(service)
      .filter((stored) => name === undefined || stored.name === name);
    const answers = [];
    for (let at = 0; at === 0 || at < meant.length; at += PER_ANSWER) {
      const part: readonly Stored[] = meant.slice(at, at + PER_ANSWER);
      const names = part.map((stored) => stored.name);
      const isLast = at + PER_ANSWER >= meant.length;
      const fds = request.do === "fetch" ? part.map(({ fd }) => fd) : [];
      answers.push(one({ service, names, ...(!isLast && { more: true as const }) }, fds));
    }
    return answers;
  }
}
