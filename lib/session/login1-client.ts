/** login1 as a client sees it: which session a process is in, and registering one. */
import { lstatSync } from "node:fs";
import { BusError, Connection, systemBusAddress } from "../dbus/index.ts";
import { openPidfd } from "../linux/index.ts";
import { isSeatName, isSessionId } from "../sd-login/index.ts";
import type { SessionFacts, SessionSource } from "./facts.ts";
import type { MadeSession } from "./pam-environment.ts";
import type { SessionRequest } from "./pam-request.ts";

const NAME = "org.freedesktop.login1";
const MANAGER_PATH = "/org/freedesktop/login1";
const MANAGER = `${NAME}.Manager`;
const SESSION = `${NAME}.Session`;
const PROPERTIES = "org.freedesktop.DBus.Properties";

/** What the bus answers while nobody has the name, and when who had it was killed before answering. */
const AWAY = ["ServiceUnknown", "NameHasNoOwner", "NoReply"].map(
  (name) => `org.freedesktop.DBus.Error.${name}`,
);
/** How often a bridge that is being started again is looked for, in milliseconds. */
const LOOK_AGAIN = 100;

/** Where OpenRC has a mark while it runs the bridge, or is about to. */
const MARKS = ["started", "starting"].map((state) => `/run/openrc/${state}/lainos-dbus-bridge`);

/** A session with the process that leads it. */
export interface LedSession extends SessionFacts {
  leader: number;
}

/**
 * A connection to login1. All that is done through it is over within `limit` milliseconds of its
 * making: what takes longer fails.
 */
export class Login1Client implements SessionSource {
  readonly #deadline: number;
  #connection: Connection | undefined;
  #path: string | undefined;

  constructor(limit: number) {
    this.#deadline = performance.now() + limit;
  }

  #left(): number {
    return Math.max(1, this.#deadline - performance.now());
  }

  /**
   * Does something once login1 is there: a bridge that was killed is back in a moment, and a login
   * without a session would last. One that OpenRC does not run is not waited for.
   */
  async #onceThere<Result>(work: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        const isAway = error instanceof BusError && AWAY.includes(error.errorName);
        const isRun = MARKS.some((path) => lstatSync(path, { throwIfNoEntry: false }));
        if (!isAway || !isRun || this.#left() <= LOOK_AGAIN) throw error;
        await Bun.sleep(LOOK_AGAIN);
      }
    }
  }

  async #call(path: string, face: string, member: string, signature: string, body: unknown[]) {
    this.#connection ??= await Connection.open(systemBusAddress(), this.#left());
    return this.#connection.call({
      destination: NAME,
      path,
      interface: face,
      member,
      signature,
      body,
      timeout: this.#left(),
    });
  }

  /**
   * The session that a process is in (GetSessionByPID, then the session's properties).
   *
   * @returns undefined if it is in none
   * @throws {Error} if the bus or login1 cannot be reached in time
   */
  lookUp(pid: number): Promise<LedSession | undefined> {
    return this.#onceThere(() => this.#lookUp(pid));
  }

  async #lookUp(pid: number): Promise<LedSession | undefined> {
    try {
      const [path] = await this.#call(MANAGER_PATH, MANAGER, "GetSessionByPID", "u", [pid]);
      if (typeof path !== "string") throw new Error("GetSessionByPID answered without a path");
      this.#path = path;
      const [properties] = await this.#call(path, PROPERTIES, "GetAll", "s", [SESSION]);
      return parseProperties(properties as Record<string, { value: unknown }>);
    } catch (error) {
      const none = [`${NAME}.NoSessionForPID`, `${NAME}.NoSuchSession`];
      if (error instanceof BusError && none.includes(error.errorName)) return undefined;
      throw error;
    }
  }

  /**
   * Registers a session (CreateSessionWithPIDFD).
   *
   * It is this method because the older CreateSession ends the session with the descriptor that it
   * answers with, and this process, which gets it, is gone in a moment; here the leader decides.
   *
   * @returns undefined if the leader is in a session already
   * @throws {Error} if the bus or login1 cannot be reached in time, or refuses; SystemError ESRCH
   *   if the leader is gone
   */
  create(request: SessionRequest): Promise<MadeSession | undefined> {
    return this.#onceThere(() => this.#create(request));
  }

  async #create(request: SessionRequest): Promise<MadeSession | undefined> {
    const noFlags = 0n;
    const body = [
      request.uid,
      openPidfd(request.leader),
      request.service,
      request.type,
      request.class,
      request.desktop,
      request.seat,
      request.vtnr,
      request.tty,
      request.display,
      request.remote,
      request.remoteUser,
      request.remoteHost,
      noFlags,
      [],
    ];
    try {
      const reply = await this.#call(
        MANAGER_PATH,
        MANAGER,
        "CreateSessionWithPIDFD",
        "uhsssssussbssta(sv)",
        body,
      );
      // The placeholder that comes with the reply goes with this process.
      const [id, , runtimePath, , , seat, vtnr] = reply as [
        ...[id: string, path: string, runtimePath: string, fd: number],
        ...[uid: number, seat: string, vtnr: number, existing: boolean],
      ];
      return { id, runtimePath, seat, vtnr };
    } catch (error) {
      if (error instanceof BusError && error.errorName === `${NAME}.SessionBusy`) return undefined;
      throw error;
    }
  }

  /** Tells login1 which desktop starts in the session found (AnnounceDesktop of org.lainos.Session1). */
  async announce(desktop: { kind: string; name: string }, display: string): Promise<void> {
    if (this.#path === undefined) return;
    const body = [desktop.kind, desktop.name, display];
    try {
      await this.#call(this.#path, "org.lainos.Session1", "AnnounceDesktop", "sss", body);
    } catch (error) {
      // Another login1 than ours has no such interface, and nothing is lost then.
      const unknown = ["UnknownInterface", "UnknownMethod", "AccessDenied"];
      const names = unknown.map((name) => `org.freedesktop.DBus.Error.${name}`);
      if (!(error instanceof BusError && names.includes(error.errorName))) throw error;
    }
  }

  /** Says that a session is over (ReleaseSession). */
  async release(id: string): Promise<void> {
    try {
      await this.#onceThere(() => this.#call(MANAGER_PATH, MANAGER, "ReleaseSession", "s", [id]));
    } catch (error) {
      // The first try may have done it.
      if (error instanceof BusError && error.errorName === `${NAME}.NoSuchSession`) return;
      throw error;
    }
  }

  /** Ends the connection. */
  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }
}

function parseProperties(properties: Record<string, { value: unknown }>): LedSession {
  const text = (name: string) => {
    const value = properties[name]?.value;
    return typeof value === "string" ? value : "";
  };
  const number = (value: unknown) => (typeof value === "number" ? value : 0);
  const first = (name: string) => {
    const value = properties[name]?.value;
    return Array.isArray(value) ? value[0] : undefined;
  };
  const id = text("Id");
  const uid = first("User");
  if (!isSessionId(id) || typeof uid !== "number") {
    throw new Error("login1 answered with a session that has no id or no user");
  }
  const seat = first("Seat");
  return {
    id,
    uid,
    seat: typeof seat === "string" && isSeatName(seat) ? seat : undefined,
    vtnr: number(properties.VTNr?.value),
    type: text("Type"),
    class: text("Class"),
    leader: number(properties.Leader?.value),
  };
}
