/** Which session, user or unit a process belongs to. */
import type { Cgroup } from "../../linux/index.ts";
import type { Session, User } from "../model/objects.ts";
import type { Registry } from "../model/registry.ts";
import { nearestAncestor, type SessionScopes } from "./scopes.ts";
import type { Supervision } from "./supervision.ts";

export class Membership {
  constructor(
    private readonly registry: Registry,
    private readonly scopes: SessionScopes,
    private readonly supervision: Supervision,
  ) {}

  /** The session that a process belongs to: the one that it leads, or whose scope it is in. */
  sessionOfPid(pid: number): Session | undefined {
    const led = this.#sessionLedBy(pid);
    if (led) return led;
    const { sessions } = this.registry;
    if (this.scopes.available) return sessions.get(this.scopes.sessionIdOf(pid) ?? "");
    return nearestAncestor(pid, (ancestor) => this.#sessionLedBy(ancestor));
  }

  #sessionLedBy(pid: number): Session | undefined {
    for (const session of this.registry.sessions.values()) {
      // Of a leader that has ended the number may be another's.
      if (session.leader.pid === pid && this.supervision.leaderRuns(session)) return session;
    }
    return undefined;
  }

  /** The uid in whose slice a process is, logged in or not. */
  ownerOfPid(pid: number): number | undefined {
    return this.scopes.ownerOf(pid) ?? this.sessionOfPid(pid)?.user.uid;
  }

  /** The user in whose slice a process is. */
  userOfPid(pid: number): User | undefined {
    const uid = this.ownerOfPid(pid);
    return uid === undefined ? undefined : this.registry.users.get(uid);
  }

  /** The cgroup of a slice or scope of ours, by its unit's name; undefined if there is none such. */
  unitCgroup(unit: string): Cgroup | undefined {
    for (const user of this.registry.users.values()) {
      if (unit === user.slice) return this.scopes.sliceOf(user);
    }
    for (const session of this.registry.sessions.values()) {
      if (unit === session.scope) return this.scopes.scopeOf(session);
    }
    return undefined;
  }
}
