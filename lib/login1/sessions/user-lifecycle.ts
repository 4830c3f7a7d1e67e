/** How users come and go: with their sessions, a while after them, or by lingering. */
import type { Logger } from "../../cli/index.ts";
import { now, userByName } from "../../linux/index.ts";
import { User } from "../model/user.ts";
import type { Settings } from "../settings/logind-conf.ts";
import type { ManagerEvents } from "../state/pending-changes.ts";
import type { News } from "../state/publisher.ts";
import { removeUser } from "../state/records.ts";
import { removeIpc } from "../users/ipc.ts";
import { lingeringNames, lingers, setLingers } from "../users/linger.ts";
import { createRuntimeDir, removeRuntimeDir } from "../users/runtime-dir.ts";
import type { SessionCgroups } from "./scopes.ts";

/** setTimeout takes no more. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** What the user database says of somebody. */
export interface Account {
  uid: number;
  gid: number;
  name: string;
}

export class UserLives {
  readonly #timers = new Map<User, ReturnType<typeof setTimeout>>();

  constructor(
    private readonly log: Logger,
    private readonly settings: Settings,
    private readonly events: ManagerEvents,
    private readonly news: News,
    private readonly cgroups: SessionCgroups,
    private readonly users: Map<number, User>,
  ) {}

  /** Ends what is waited for; the next run goes on with it. */
  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  /** A user has a session again. */
  keep(user: User): void {
    clearTimeout(this.#timers.get(user));
  }

  /**
   * Lets a user go who has no session any more, unless they linger or
   * UserStopDelaySec keeps them a while.
   */
  removeIfUnused(user: User): void {
    if (user.sessions.size > 0 || user.lingers || this.users.get(user.uid) !== user) return;
    const { UserStopDelaySec, RemoveIPC } = this.settings.config;
    const since = now().monotonic - (user.lastSessionEnd ?? 0n);
    if (user.lastSessionEnd !== undefined && since < UserStopDelaySec) {
      this.#keepFor(user, UserStopDelaySec - since);
      return;
    }
    this.users.delete(user.uid);
    this.news.changes.users.delete(user);
    removeUser(user);
    this.cgroups.removeSlice(user);
    const report = (what: string) => (error: Error) => this.log.error(`${what}: ${error.message}`);
    // What takes time goes on by itself. The news does not wait for it: it must
    // not come after that of the same user's next login.
    void removeRuntimeDir(user.uid).catch(report(`${user.runtimePath} stays`));
    if (RemoveIPC) void removeIpc(user.uid).catch(report(`IPC objects of ${user.name} stay`));
    this.events.userRemoved(user);
  }

  #keepFor(user: User, microseconds: bigint): void {
    clearTimeout(this.#timers.get(user));
    const forever = microseconds > BigInt(Number.MAX_SAFE_INTEGER);
    const delay = Math.min(Math.ceil(Number(microseconds) / 1000), LONGEST_TIMER);
    if (forever) return;
    const timer = setTimeout(() => {
      this.#timers.delete(user);
      this.news.after(`the delay after ${user.name}'s last session`, () =>
        this.removeIfUnused(user),
      );
    }, delay);
    this.#timers.set(user, timer);
  }

  // Lingering

  /**
   * Says whether a user is kept, with object and runtime directory, while not logged in.
   *
   * @throws {Error} if the file or the runtime directory cannot be made; nothing is left of it
   */
  setLinger(account: Account, enable: boolean): void {
    const before = lingers(account.name);
    setLingers(account.name, enable);
    const known = this.users.get(account.uid);
    if (enable && !known) {
      try {
        this.#addLingering(account);
      } catch (error) {
        if (!before) setLingers(account.name, false);
        throw error;
      }
    }
    const user = this.users.get(account.uid);
    if (!user || before === enable) return;
    if (known) this.news.changes.user(user, "Linger", "State");
    this.news.flush();
    this.removeIfUnused(user);
  }

  #addLingering({ uid, gid, name }: Account): void {
    const user = new User(uid, gid, name, createRuntimeDir(uid, gid, this.settings.config), now());
    this.users.set(uid, user);
    this.news.changes.user(user);
    this.news.save();
    this.events.userNew(user);
  }

  /** Keeps everybody whom a file says to, which is all that a boot leaves of lingering. */
  startLingering(): void {
    for (const name of lingeringNames()) {
      this.news.after(`finding that ${name} lingers`, () => {
        const account = userByName(name);
        if (!account) this.log.warning(`${name} is to linger, but there is no such user`);
        else if (!this.users.has(account.uid)) this.#addLingering(account);
      });
    }
  }
}
