/** How users come and go: with their sessions, a while after them, or by lingering. */
import type { Logger } from "../../cli/index.ts";
import { messageOf, now, setLongTimeout, userByName } from "../../linux/index.ts";
import { User } from "../model/objects.ts";
import type { Registry } from "../model/registry.ts";
import type { Settings } from "../settings/logind-conf.ts";
import type { Publisher } from "../state/publisher.ts";
import { removeIpc } from "../users/ipc.ts";
import { lingeringNames, lingers, setLingers } from "../users/linger.ts";
import { createRuntimeDir, removeRuntimeDir } from "../users/runtime-dir.ts";
import type { SessionScopes } from "./scopes.ts";

/** What the user database says of somebody. */
export interface Account {
  uid: number;
  gid: number;
  name: string;
}

/** How soon a runtime directory is removed that could not be (a /run that is read-only), in milliseconds. */
const REMOVAL_DELAY = 2000;

export class UserLifecycle {
  #stopped = false;
  /** What ends the wait for each user who is kept for a while. */
  readonly #waits = new Map<User, () => void>();

  constructor(
    private readonly log: Logger,
    private readonly settings: Settings,
    private readonly registry: Registry,
    private readonly publisher: Publisher,
    private readonly scopes: SessionScopes,
  ) {}

  /** Ends what is waited for; the next run goes on with it. */
  stop(): void {
    this.#stopped = true;
    for (const end of this.#waits.values()) end();
    this.#waits.clear();
  }

  /** A user has a session again. */
  keep(user: User): void {
    user.terminating = false;
    this.#waits.get(user)?.();
    this.#waits.delete(user);
  }

  /**
   * Lets a user go who has no session any more, unless they linger or
   * UserStopDelaySec keeps them a while.
   *
   * @param wasTold whether the bus knows of the user
   */
  removeIfUnused(user: User, wasTold = true): void {
    if (user.sessions.size > 0 || !this.registry.hasUser(user)) return;
    if (user.lingers && !user.terminating) return;
    const { UserStopDelaySec, RemoveIPC } = this.settings.config;
    const since = now().monotonic - (user.lastSessionEnd ?? 0n);
    if (user.lastSessionEnd !== undefined && since < UserStopDelaySec) {
      this.#keepFor(user, UserStopDelaySec - since);
      return;
    }
    this.registry.users.delete(user.uid);
    this.publisher.forgetUser(user);
    this.publisher.after(`${user.slice}, which stays`, () => this.scopes.removeSlice(user));
    // What takes time goes on by itself. The news does not wait for it: it must
    // not come after that of the same user's next login.
    void this.#removeRuntimeDir(user);
    if (RemoveIPC) {
      void removeIpc(user.uid).catch((error: Error) =>
        this.log.error(`IPC objects of ${user.name} stay: ${error.message}`),
      );
    }
    if (!wasTold) return;
    this.publisher.after(`the end of ${user.name}`, () =>
      this.publisher.notifier.userRemoved(user),
    );
  }

  /** Until it is gone, or the user is back, who then has it again. */
  async #removeRuntimeDir(user: User): Promise<void> {
    for (let isSaid = false; !this.#stopped && !this.registry.users.has(user.uid); isSaid = true) {
      try {
        await removeRuntimeDir(user.uid);
        return;
      } catch (error) {
        const text = `${user.runtimePath} stays: ${messageOf(error)}: it is tried again`;
        if (!isSaid) this.log.error(text);
      }
      await Bun.sleep(REMOVAL_DELAY);
    }
  }

  #keepFor(user: User, microseconds: bigint): void {
    this.keep(user);
    const end = setLongTimeout(microseconds, () => {
      this.#waits.delete(user);
      this.publisher.after(`the delay after ${user.name}'s last session`, () =>
        this.removeIfUnused(user),
      );
    });
    this.#waits.set(user, end);
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
    const known = this.registry.users.get(account.uid);
    if (enable && !known) {
      try {
        this.#addLingering(account);
      } catch (error) {
        if (!before) setLingers(account.name, false);
        throw error;
      }
    }
    const user = this.registry.users.get(account.uid);
    if (enable && user) user.terminating = false;
    if (!user || before === enable) return;
    if (known) this.publisher.changes.user(user, "Linger", "State");
    this.publisher.flush();
    this.removeIfUnused(user);
  }

  #addLingering({ uid, gid, name }: Account): void {
    const user = new User(uid, gid, name, createRuntimeDir(uid, gid, this.settings.config), now());
    this.registry.users.set(uid, user);
    this.publisher.notifier.noteUser(user);
    this.publisher.changes.user(user);
    this.publisher.persist();
    this.publisher.notifier.userNew(user);
  }

  /** Keeps everybody whom a file says to, which is all that a boot leaves of lingering. */
  startLingering(): void {
    for (const name of lingeringNames()) {
      this.publisher.after(`finding that ${name} lingers`, () => {
        const account = userByName(name);
        if (!account) this.log.warning(`${name} is to linger, but there is no such user`);
        else if (!this.registry.users.has(account.uid)) this.#addLingering(account);
      });
    }
  }
}
