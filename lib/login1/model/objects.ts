/**
 * What login1 knows: sessions, users and seats. They hold each other, so they stand in one file; what
 * happens to them is in sessions/ and seats/.
 */
import { join } from "node:path";
import { escapeLabel } from "../../dbus/index.ts";
import { now, type ProcessIdentity, type Timestamp } from "../../linux/index.ts";
import {
  isGraphical,
  isInteractive,
  type SessionClass,
  type SessionState,
  type SessionType,
} from "../../sd-login/index.ts";
import { seatsOfDevices } from "../hardware/udev.ts";
import { hasVts } from "../hardware/vt.ts";
import { lingers } from "../users/linger.ts";
import { combineIdle, type Idle, NOT_IDLE } from "../vocabulary/idle.ts";
import {
  SEAT_FOLDER,
  SEATS,
  SESSION_FOLDER,
  SESSIONS,
  USER_FOLDER,
  USERS,
} from "../vocabulary/paths.ts";

/** The number of no audit session: the kernel's AUDIT_SID_UNSET, which logind shows. */
export const NO_AUDIT = 0xffff_ffff;

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
  /** The audit session's number, or `NO_AUDIT`. */
  audit: number;
  since: Timestamp;
  /** Whether the session ends when nobody holds the write end of its fifo any more. */
  hasFifo: boolean;
  idleRule: IdleRule;
}

/** By what a session that says nothing of itself counts as idle. */
export interface IdleRule {
  /** For how long nobody has touched a tty session's terminal then, in microseconds. */
  readonly ttyAfter: bigint;
  /** When somebody last has, in microseconds since the epoch; undefined if it has none. */
  lastTouched(session: Session): bigint | undefined;
}

/** How the terminal of a session is known, as logind calls it in its file. */
export const TTY_VALIDITIES = ["from-pam", "from-utmp", "utmp-inconsistent"] as const;
export type TtyValidity = (typeof TTY_VALIDITIES)[number];

/** One session: what is known of it, and what follows from that. */
export class Session {
  readonly id: string;
  readonly objectPath: string;
  readonly user: User;
  leader: ProcessIdentity;
  readonly service: string;
  class: SessionClass;
  desktop: string;
  readonly seat: Seat | undefined;
  readonly vtnr: number;
  tty: string;
  /** undefined while nobody has said which it is. */
  ttyValidity: TtyValidity | undefined;
  display: string;
  readonly remote: boolean;
  readonly remoteHost: string;
  readonly remoteUser: string;
  readonly extraDeviceAccess: readonly string[];
  readonly audit: number;
  readonly since: Timestamp;
  readonly hasFifo: boolean;
  readonly #idleRule: IdleRule;
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
  idleHint: Idle = NOT_IDLE;
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
    this.ttyValidity = facts.tty === "" ? undefined : "from-pam";
    this.display = facts.display;
    this.remote = facts.remote;
    this.remoteHost = facts.remoteHost;
    this.remoteUser = facts.remoteUser;
    this.extraDeviceAccess = facts.extraDeviceAccess;
    this.audit = facts.audit;
    this.since = facts.since;
    this.hasFifo = facts.hasFifo;
    this.#idleRule = facts.idleRule;
  }

  get stateFile(): string {
    return `${SESSIONS}/${this.id}`;
  }

  /** The fifo whose last writer's close ends the session. */
  get fifo(): string {
    return `${SESSIONS}/${this.id}.ref`;
  }

  /** Whether it has a scope. Who manages a user's services stays in the cgroup that it is in. */
  get hasScope(): boolean {
    return this.class !== "manager" && this.class !== "manager-early";
  }

  /** The name of its scope, which libsystemd takes the session's id from; "" where it has none. */
  get scope(): string {
    return this.hasScope ? `session-${this.id}.scope` : "";
  }

  get graphical(): boolean {
    return isGraphical(this.type);
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

  /** Whether it may stand for its user (`User.display`); one that is not complete yet may not. */
  get canBeDisplay(): boolean {
    return isInteractive(this.class) || this.class === "greeter";
  }

  /** Whether it counts for the idleness of its user and of the machine: somebody sits at it. */
  get canIdle(): boolean {
    return isInteractive(this.class) || this.class === "greeter";
  }

  /** A graphical session's own word, or whether nobody touched a tty session's terminal for a while. */
  get idle(): Idle {
    if (this.graphical) return this.idleHint;
    if (this.type !== "tty" || !this.canIdle) return NOT_IDLE;
    const touched = this.#idleRule.lastTouched(this);
    if (touched === undefined) return NOT_IDLE;
    const { realtime, monotonic } = now();
    const age = realtime - touched;
    const since = { realtime: touched, monotonic: monotonic > age ? monotonic - age : 0n };
    return { hint: age >= this.#idleRule.ttyAfter, since };
  }
}

/** As logind ranks the types of sessions: the last is the best. */
const DISPLAY_TYPES: readonly (readonly SessionType[])[] = [
  ["unspecified"],
  ["web"],
  ["tty"],
  ["x11", "wayland", "mir"],
];

/** Whether a session stands for its user rather than another: an open one, then by class, then by type. */
function isBetterDisplay(one: Session, other: Session): boolean {
  const ranks = ({ stopping, class: kind, type }: Session) => [
    Number(!stopping),
    Number(kind === "user"),
    Number(kind === "user-early"),
    DISPLAY_TYPES.findIndex((types) => types.includes(type)),
  ];
  const others = ranks(other);
  const difference = ranks(one).map((rank, at) => rank - (others[at] ?? 0));
  return (difference.find((rank) => rank !== 0) ?? 0) > 0;
}

export type UserState = "offline" | "lingering" | "online" | "active" | "closing";

/** A user's object is named by an underscore and the uid, as logind does it, or `self`. */
export const userLabels = {
  toLabel: (uid: string) => `_${uid}`,
  toName: (label: string) => (label === "self" ? label : /^_(\d+)$/.exec(label)?.[1]),
};

/** One user who is logged in, or kept without (lingering). */
export class User {
  /** The oldest first. */
  readonly sessions = new Set<Session>();
  /** The session that stands for the user where one must: see sd_uid_get_display(3) and `electDisplay`. */
  display: Session | undefined;
  /** Whether the user is to go with the last session, also one who lingers, unless there is a login before. */
  terminating = false;
  /** When the last session ended, in microseconds since boot; undefined before that. */
  lastSessionEnd: bigint | undefined;

  constructor(
    readonly uid: number,
    readonly gid: number,
    readonly name: string,
    readonly runtimePath: string,
    readonly since: Timestamp,
  ) {}

  /** In the order in which they are shown, as with logind. */
  get newestFirst(): Session[] {
    return [...this.sessions].reverse();
  }

  get objectPath(): string {
    return `${USER_FOLDER}/${userLabels.toLabel(String(this.uid))}`;
  }

  get stateFile(): string {
    return `${USERS}/${this.uid}`;
  }

  /** The slice that holds the user's sessions. */
  get slice(): string {
    return `user-${this.uid}.slice`;
  }

  /** Whether the user is kept while not logged in. */
  get lingers(): boolean {
    return lingers(this.name);
  }

  get state(): UserState {
    if (this.terminating) return "closing";
    let state: UserState = "closing";
    let isLoggedIn = false;
    for (const { stopping, active, hasScope } of this.sessions) {
      // Nobody is logged in by a manager of services.
      isLoggedIn ||= hasScope;
      if (stopping) continue;
      if (active && hasScope) return "active";
      state = "online";
    }
    return !isLoggedIn && this.lingers ? "lingering" : state;
  }

  /**
   * Chooses the display anew, when a session begins or is closing. The one that there is stays unless
   * another is better, and of several that are better the newest that none is better than: as with logind.
   */
  electDisplay(): void {
    for (const session of this.newestFirst) {
      if (!session.canBeDisplay || session.stopping) continue;
      if (!this.display || isBetterDisplay(session, this.display)) this.display = session;
    }
  }

  get idle(): Idle {
    return combineIdle(
      [...this.sessions].filter((session) => session.canIdle).map((session) => session.idle),
    );
  }
}

/** A set of hardware that one person sits at; see sd-login(3). */
export class Seat {
  /** In the order of a user's. */
  readonly sessions = new Set<Session>();
  /** The session in the foreground. */
  active: Session | undefined;

  /** Without VTs: the session that comes to the foreground once this one's devices are paused. */
  pendingSwitch: Session | undefined;

  constructor(readonly id: string) {}

  /** In the order in which they are shown, as a user's. */
  get newestFirst(): Session[] {
    return [...this.sessions].reverse();
  }

  /** Takes a session in. Where no VT numbers it, it gets the lowest free position, from 1. */
  add(session: Session): void {
    if (!this.hasVts) {
      const taken = new Set([...this.sessions].map(({ position }) => position));
      if (session.position === 0 || taken.has(session.position)) session.position = 1;
      while (taken.has(session.position)) session.position++;
    }
    this.sessions.add(session);
  }

  get objectPath(): string {
    return `${SEAT_FOLDER}/${escapeLabel(this.id)}`;
  }

  get stateFile(): string {
    return join(SEATS, this.id);
  }

  /** Only seat0 can have VTs, and only where the system has any. */
  get hasVts(): boolean {
    return this.id === "seat0" && hasVts();
  }

  /** True if udev has tagged a graphics device of this seat as its master. */
  get canGraphical(): boolean {
    return seatsOfDevices().has(this.id);
  }

  /** The session that a VT switch to `vt` brings up: the last that came to it and is not ending. */
  sessionAt(vt: number): Session | undefined {
    return [...this.sessions].findLast((session) => session.vtnr === vt && !session.stopping);
  }

  get idle(): Idle {
    return combineIdle(
      [...this.sessions].map((session) => session.idle),
      "last",
    );
  }
}
