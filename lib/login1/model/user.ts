/** One logged-in user. */
import type { Timestamp } from "../../linux/index.ts";
import { lingers } from "../users/linger.ts";
import { USER_FOLDER, USERS } from "../vocabulary/paths.ts";
import { combineIdle, type Idle, type Session } from "./session.ts";

export type UserState = "offline" | "lingering" | "online" | "active" | "closing";

/** A user's object is named by an underscore and the uid, as logind does it, or `self`. */
export const userLabels = {
  toLabel: (uid: string) => `_${uid}`,
  toName: (label: string) => (label === "self" ? label : /^_(\d+)$/.exec(label)?.[1]),
};

export class User {
  /** The oldest first. */
  readonly sessions = new Set<Session>();
  /** When the last session ended, in microseconds since boot; undefined before that. */
  lastSessionEnd: bigint | undefined;

  constructor(
    readonly uid: number,
    readonly gid: number,
    readonly name: string,
    readonly runtimePath: string,
    readonly since: Timestamp,
  ) {}

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
    if (this.sessions.size === 0 && this.lingers) return "lingering";
    let state: UserState = "closing";
    for (const { stopping, active } of this.sessions) {
      if (stopping) continue;
      if (active) return "active";
      state = "online";
    }
    return state;
  }

  /**
   * The session that stands for the user where one must (sd_uid_get_display(3)):
   * an open one before a closing one, a person's before a background one, a
   * graphical one before a text one, and of equals the oldest.
   */
  get display(): Session | undefined {
    let best: Session | undefined;
    let most = -1;
    for (const session of this.sessions) {
      const isPersons = session.class.startsWith("user");
      if (!isPersons && session.class !== "greeter") continue;
      const own = (session.stopping ? 0 : 4) + (isPersons ? 2 : 0) + (session.graphical ? 1 : 0);
      if (own <= most) continue;
      best = session;
      most = own;
    }
    return best;
  }

  get idle(): Idle {
    return combineIdle(
      [...this.sessions].filter((session) => session.canIdle).map((session) => session.idle),
    );
  }
}
