/**
 * What a run that was killed in the middle of a login or of its end has left: a scope or a runtime
 * directory that no state file says anything of.
 */
import { readdirSync } from "node:fs";
import type { Logger } from "../../cli/index.ts";
import { type Cgroup, messageOf, uidsOf } from "../../linux/index.ts";
import { mountedRuntimeDirs, removeRuntimeDir, runtimePath } from "../users/runtime-dir.ts";
import type { SessionScopes } from "./scopes.ts";

/** What is known of sessions and users, at the moment of the call. */
interface Known {
  isSession(id: string): boolean;
  isUser(uid: number): boolean;
}

export class Orphans {
  /** Scopes with processes in them: of each session's id what ends the watch. */
  readonly #watched = new Map<string, () => void>();

  constructor(
    private readonly log: Logger,
    private readonly scopes: SessionScopes,
    private readonly known: Known,
  ) {}

  /** Whether processes are still in the scope of a session of this id, though there is none. */
  has(id: string): boolean {
    return this.#watched.has(id);
  }

  /** Removes what is empty at once, and scopes with processes when these have ended. */
  sweep(): void {
    for (const { uid, id, scope } of this.scopes.scopes()) {
      if (this.known.isSession(id) || scope.remove()) continue;
      this.log.warning(`${scope.path} is of no session: it stays while processes are in it`);
      this.#watched.set(
        id,
        scope.watch(() => this.#onChange(uid, id, scope)),
      );
    }
    for (const { uid, slice } of this.scopes.slices()) {
      if (!this.known.isUser(uid)) slice.remove();
    }
    for (const uid of mountedRuntimeDirs()) {
      // Whoever has processes may be using it, whatever made it.
      if (this.known.isUser(uid) || hasProcesses(uid)) continue;
      this.log.warning(`${runtimePath(uid)} is mounted but its user is not logged in; removing it`);
      removeRuntimeDir(uid).catch((error) =>
        this.log.error(`${runtimePath(uid)} stays: ${messageOf(error)}`),
      );
    }
  }

  /** Ends the watches. */
  stop(): void {
    for (const end of this.#watched.values()) end();
    this.#watched.clear();
  }

  #onChange(uid: number, id: string, scope: Cgroup): void {
    if (scope.populated()) return;
    this.#watched.get(id)?.();
    this.#watched.delete(id);
    try {
      scope.remove();
      const slice = this.scopes.slices().find((each) => each.uid === uid)?.slice;
      if (!this.known.isUser(uid)) slice?.remove();
    } catch (error) {
      this.log.error(`${scope.path} stays: ${messageOf(error)}`);
    }
  }
}

function hasProcesses(uid: number): boolean {
  return readdirSync("/proc").some(
    (name) => /^\d+$/.test(name) && (uidsOf(Number(name))?.includes(uid) ?? false),
  );
}
