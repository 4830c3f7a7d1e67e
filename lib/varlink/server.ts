/** A socket where varlink is spoken, and everybody who is connected to it. */
import { lstatSync, rmSync, type Stats } from "node:fs";
import {
  close,
  closeConnection,
  type Fd,
  hasRoomFor,
  isBacklogged,
  listenStream,
  messageOf,
  onConnection,
  openToAll,
  peerCredentials,
  type RoomLimits,
  refuseDescriptors,
  userOwner,
} from "../linux/index.ts";
import { ServerConnection } from "./connection.ts";
import type { Service } from "./service.ts";

const LIMITS: RoomLimits = { perUser: 64, total: 1024 };

/** How many may wait for accept(2). */
const BACKLOG = 512;
const ROOT = 0;

export interface ServerOptions {
  limits?: RoomLimits;
  /** Is told why a client was sent away or left: nothing that the service depends on. */
  onDebug?: (message: string) => void;
  /** Is told of failures of the system, such as no free descriptor. */
  onError?: (message: string) => void;
}

/** Listens at a path in the file system. */
export class VarlinkServer {
  readonly path: string;
  readonly #fd: Fd;
  readonly #service: Service;
  readonly #limits: RoomLimits;
  readonly #options: ServerOptions;
  readonly #bound: Stats;
  readonly #connections = new Set<ServerConnection>();
  readonly #endWatch: () => void;
  #open = true;

  /**
   * Makes a socket at `path` that everybody may connect to (0666). One that is
   * there is replaced: it is for the caller to know that it is nobody's any more.
   *
   * @throws {Error} that names the path, if something other than a socket is there
   */
  constructor(path: string, service: Service, options: ServerOptions = {}) {
    this.path = path;
    this.#service = service;
    this.#options = options;
    this.#limits = options.limits ?? LIMITS;
    const there = lstatSync(path, { throwIfNoEntry: false });
    if (there && !there.isSocket()) {
      throw new Error(`${path} is in the way and is no socket: remove it and start this again`);
    }
    if (there) rmSync(path);
    this.#fd = openToAll(() => listenStream(path, BACKLOG));
    try {
      refuseDescriptors(this.#fd);
      this.#bound = lstatSync(path);
      this.#endWatch = onConnection(
        this.#fd,
        (connection) => this.#admit(connection),
        (error) => this.#options.onError?.(messageOf(error)),
      );
    } catch (error) {
      close(this.#fd);
      rmSync(path, { force: true });
      throw error;
    }
  }

  /** Ends every connection, and removes the socket if it is still this one. */
  stop(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#endWatch();
    for (const connection of this.#connections) connection.end();
    this.#connections.clear();
    const now = lstatSync(this.path, { throwIfNoEntry: false });
    if (now?.ino === this.#bound.ino && now.dev === this.#bound.dev) rmSync(this.path);
    close(this.#fd);
  }

  #admit(fd: Fd): void {
    const credentials = peerCredentials(fd);
    const { uid } = credentials;
    if (!this.#hasRoomFor(uid)) {
      closeConnection(userOwner(uid), fd);
      this.#options.onDebug?.(`${this.path}: uid ${uid} was sent away: too many are connected`);
      return;
    }
    const connection = new ServerConnection(fd, credentials, this.#service, (reason) => {
      this.#connections.delete(connection);
      this.#options.onDebug?.(`${this.path}: a connection of uid ${uid} ended: ${reason}`);
    });
    this.#connections.add(connection);
  }

  #hasRoomFor(uid: number): boolean {
    if (isBacklogged(userOwner(uid)) && uid !== ROOT) return false;
    const uids = [...this.#connections].map(({ peer }) => peer.uid);
    return hasRoomFor(uid, uids, this.#limits);
  }
}
