/** One session: what is known of it, and what follows from that. */
import { escapeLabel } from "../../dbus/index.ts";
import { now, type ProcessIdentity, type Timestamp } from "../../linux/index.ts";
import { lastTouched } from "../hardware/terminal.ts";
import { SESSION_FOLDER, SESSIONS } from "../vocabulary/paths.ts";
import type { Seat } from "./seat.ts";
import type { User } from "./user.ts";

/** The types and classes of pam_systemd(8) and sd_session_get_class(3). */
export const SESSION_TYPES = ["unspecified", "tty", "x11", "wayland", "mir", "web"] as const;
export const SESSION_CLASSES = [
  "user",
  "user-early",
  "user-incomplete",
  "user-light",
  "user-early-light",
  "greeter",
  "lock-screen",
  "background",
  "background-light",
  "manager",
  "manager-early",
] as const;

export type SessionType = (typeof SESSION_TYPES)[number];
export type SessionClass = (typeof SESSION_CLASSES)[number];
export type SessionState = "opening" | "online" | "active" | "closing";

/** What a session is from its start on. */
export interface SessionFacts {
  id: string;
  user: User;
  /** The process that it stands and falls with. */
  leader: ProcessIdentity;
  service: string;
  type: SessionType;
  class: SessionClass;
  desktop: string;
  seat: Seat | undefined;
  /** 0 for none. */
  vtnr: number;
  tty: string;
  display: string;
  remote: boolean;
  remoteHost: string;
  remoteUser: string;
  /** What it may open wherever it is, as in CreateRequest. */
  extraDeviceAccess: readonly string[];
  audit: number;
  since: Timestamp;
  /** Whether the session ends when nobody holds the write end of its fifo any more. */
  hasFifo: boolean;
}

const INTERACTIVE = new Set<SessionClass>(["user", "user-early", "user-light", "user-early-light"]);
const GRAPHICAL = new Set<SessionType>(["x11", "wayland", "mir"]);

/** The classes of a person's own logins, once they are complete. */
function isInteractive(kind: SessionClass): boolean {
  return INTERACTIVE.has(kind);
}

/** Whether something is idle, and since when; zeros where that is not known. */
export interface Idle {
  hint: boolean;
  since: Timestamp;
}

const NEVER: Timestamp = { realtime: 0n, monotonic: 0n };

export class Session {
  /** For how long nobody has touched a tty session's terminal before it counts as idle, in microseconds; see `ttyIdleAfter`. */
  static idleAfter = 30n * 60n * 1_000_000n;
  readonly id: string;
  readonly objectPath: string;
  readonly user: User;
  readonly leader: ProcessIdentity;
  readonly service: string;
  class: SessionClass;
  desktop: string;
  readonly seat: Seat | undefined;
  readonly vtnr: number;
  tty: string;
  display: string;
  readonly remote: boolean;
  readonly remoteHost: string;
  readonly remoteUser: string;
  readonly extraDeviceAccess: readonly string[];
  readonly audit: number;
  readonly since: Timestamp;
  readonly hasFifo: boolean;
  type: SessionType;
  /** What `type` goes back to when its controller lets go. */
  originalType: SessionType;
  /** The unique bus name of who controls the session (TakeControl). */
  controller: string | undefined;
  /** The numbers of the devices that the controller has taken, `226:0`. */
  readonly devices = new Set<string>();
  /** Which of a seat's sessions it is, from 1, where there are no VTs to number them; 0 for none. */
  position = 0;
  /** Whether it was in the foreground when the last run ended. */
  wasActive = false;
  lockedHint = false;
  /** What a graphical session says of itself (SetIdleHint), and since when. */
  idleHint: Idle = { hint: false, since: NEVER };
  /** It has been released or its leader is gone; what is left of it runs out. */
  stopping = false;
  /** When what runs in it got SIGTERM, by the monotonic clock; SIGKILL follows some time later. */
  terminatedAt: bigint | undefined;

  constructor(facts: SessionFacts) {
    this.id = facts.id;
    this.objectPath = `${SESSION_FOLDER}/${escapeLabel(facts.id)}`;
    this.user = facts.user;
    this.leader = facts.leader;
    this.service = facts.service;
    this.type = facts.type;
    this.originalType = facts.type;
    this.class = facts.class;
    this.desktop = facts.desktop;
    this.seat = facts.seat;
    this.vtnr = facts.vtnr;
    this.tty = facts.tty;
    this.display = facts.display;
    this.remote = facts.remote;
    this.remoteHost = facts.remoteHost;
    this.remoteUser = facts.remoteUser;
    this.extraDeviceAccess = facts.extraDeviceAccess;
    this.audit = facts.audit;
    this.since = facts.since;
    this.hasFifo = facts.hasFifo;
  }

  get stateFile(): string {
    return `${SESSIONS}/${this.id}`;
  }

  /** The fifo whose last writer's close ends the session. */
  get fifo(): string {
    return `${SESSIONS}/${this.id}.ref`;
  }

  /** The name of its scope, which libsystemd takes the session's id from. */
  get scope(): string {
    return `session-${this.id}.scope`;
  }

  get graphical(): boolean {
    return GRAPHICAL.has(this.type);
  }

  /** In the foreground of its seat; a session without a seat always is. */
  get active(): boolean {
    return this.seat === undefined || this.seat.active === this;
  }

  get state(): SessionState {
    if (this.stopping) return "closing";
    return this.active ? "active" : "online";
  }

  /** Somebody sits at it, who can lock it; nobody does at a greeter, a lock screen or in the background. */
  get canLock(): boolean {
    return isInteractive(this.class);
  }

  /** Whether its controller may say what type it is and take its devices. */
  get canTakeDevices(): boolean {
    return isInteractive(this.class) || ["greeter", "lock-screen"].includes(this.class);
  }

  /** Whether it counts for the idleness of its user and of the machine: somebody sits at it. */
  get canIdle(): boolean {
    return isInteractive(this.class) || this.class === "greeter";
  }

  /** A graphical session's own word, or whether nobody touched a tty session's terminal for a while. */
  get idle(): Idle {
    if (this.graphical) return this.idleHint;
    if (this.type !== "tty" || this.tty === "") return { hint: false, since: NEVER };
    const touched = lastTouched(this.tty);
    if (touched === undefined) return { hint: false, since: NEVER };
    const { realtime, monotonic } = now();
    const age = realtime - touched;
    const since = { realtime: touched, monotonic: monotonic > age ? monotonic - age : 0n };
    return { hint: age >= Session.idleAfter, since };
  }
}

/**
 * Idle only if all are, and then since the last of them became so; if not,
 * since the first of those that are not. With none, idle, and nobody knows since when.
 */
export function combineIdle(parts: Idle[]): Idle {
  const hint = parts.every((part) => part.hint);
  const [first, ...others] = parts.filter((part) => part.hint === hint);
  const since = others.reduce(
    (chosen, { since }) =>
      since.monotonic > chosen.monotonic === hint && since.monotonic !== chosen.monotonic
        ? since
        : chosen,
    first?.since ?? NEVER,
  );
  return { hint, since };
}
