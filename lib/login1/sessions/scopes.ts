/**
 * Sessions as cgroups: /user.slice/user-UID.slice/session-ID.scope, the layout
 * of systemd, by which libsystemd tells whose a process is (sd_pid_get_session(3)).
 */
import { Cgroup, cgroupOf, cgroupRoot, mostTasks, processStatus } from "../../linux/index.ts";
import type { Session, User } from "../model/objects.ts";

const SESSION_SCOPE = /^\/user\.slice\/user-(\d+)\.slice\/session-([A-Za-z0-9]+)\.scope(?:\/|$)/;
const USER_SLICE = /^\/user\.slice\/user-(\d+)\.slice(?:\/|$)/;

/**
 * Where in a scope its processes begin. A cgroup that has processes of its own
 * can pass no controllers on, so the scope itself stays empty. The name has no
 * unit's ending, which sd_pid_get_user_unit(3) would take for a unit.
 */
const START = "leader";

/** Twelve names of 255 bytes, and what is before them, fit into a path (PATH_MAX is 4096). */
const SCOPE_DEPTH = 12;
const SCOPE_DESCENDANTS = 1024;

/** The controller of processes and threads. */
const TASKS = "pids";

export class SessionScopes {
  readonly #root = cgroupRoot();
  /** The controllers that a user's slice passes on, by uid, once this run has seen to it. */
  readonly #passed = new Map<number, string[]>();

  /** Whether it was said that there is no bound. */
  #unlimited = false;

  /** @param tasks how many processes and threads a user may have, of so many that there can be; undefined for no limit */
  constructor(private readonly tasks: (most: bigint) => bigint | undefined) {}

  /** Whether the system has the cgroup2 tree. Without it only leaders and their children are known. */
  get available(): boolean {
    return this.#root !== undefined;
  }

  /** A session's scope; undefined without cgroup2, and where it has none. */
  scopeOf(session: Session): Cgroup | undefined {
    if (this.#root === undefined || !session.hasScope) return undefined;
    return new Cgroup(this.#root, `/user.slice/${session.user.slice}/${session.scope}`);
  }

  /**
   * Makes a session's scope, gives it to the user, and moves a process into it.
   * Whatever the user's slice may be limited by, the user may limit by in the
   * scope: see docs/cgroups.md.
   *
   * @returns what the kernel refuses, with its reasons, at a user's first
   * @throws {Error} if the scope cannot be made, or the process is gone
   */
  enter(session: Session, pid: number): string[] {
    const { user } = session;
    const slice = this.sliceOf(user);
    const scope = this.scopeOf(session);
    if (!slice || !scope) return [];
    let refused: string[] = [];
    let passed = this.#passed.get(user.uid);
    // Somebody may have removed the slice meanwhile.
    if (!passed || !scope.createAlone()) {
      slice.create();
      slice.limit({ depth: 1 + SCOPE_DEPTH });
      refused = this.limitTasks(user);
      const controllers = slice.passOnControllers();
      passed = controllers.passed;
      refused = [
        ...refused,
        ...controllers.refused.map((what) => `${user.slice} cannot pass on ${what}`),
      ];
      this.#passed.set(user.uid, passed);
      scope.create();
    }
    scope.delegate(user.uid, user.gid, passed);
    const start = scope.child(START);
    start.create();
    start.delegate(user.uid, user.gid);
    start.add(pid);
    return refused;
  }

  /**
   * Limits the processes and threads of a user who has a slice.
   *
   * @returns what cannot be done, the first time
   */
  limitTasks(user: User): string[] {
    const slice = this.sliceOf(user);
    if (this.#root === undefined || !slice?.exists()) return [];
    const most = this.tasks(mostTasks(this.#root));
    // cgroup-delegate has done so where it runs.
    this.#top("").passOn(TASKS);
    this.#top("/user.slice").passOn(TASKS);
    if (slice.limitTasks(most) || most === undefined || this.#unlimited) return [];
    this.#unlimited = true;
    return ["users have no bound of processes: cgroup2 has no controller pids to give here"];
  }

  /** How many processes and threads a user may have; undefined where nothing limits them. */
  get mostUserTasks(): bigint | undefined {
    if (this.#root === undefined || !this.#top("/user.slice").passed(TASKS)) return undefined;
    return this.tasks(mostTasks(this.#root));
  }

  #top(path: "" | "/user.slice"): Cgroup {
    return new Cgroup(this.#root ?? "", path);
  }

  /** Limits what the user may make in a session's scope, which may come after it: no more are made from then on. */
  limit(session: Session): void {
    this.scopeOf(session)?.limit({ descendants: SCOPE_DESCENDANTS });
  }

  /** Removes a user's slice, unless processes are inside. */
  removeSlice(user: User): void {
    this.#passed.delete(user.uid);
    this.sliceOf(user)?.remove();
  }

  /** Whether nothing runs in a session's scope; undefined where there is none. */
  isEmpty(session: Session): boolean | undefined {
    const scope = this.scopeOf(session);
    return scope && !scope.populated();
  }

  /**
   * Removes a session's scope with all that is below it.
   *
   * @returns false if processes are still inside, and then it stays; undefined where there is none
   */
  leave(session: Session): boolean | undefined {
    const scope = this.scopeOf(session);
    if (!scope) return undefined;
    if (scope.populated()) return false;
    // Rarely is there more, and to look costs more than all the rest.
    return (scope.child(START).removeAlone() && scope.removeAlone()) || scope.remove();
  }

  /** A user's slice; undefined without cgroup2. */
  sliceOf(user: User): Cgroup | undefined {
    if (this.#root === undefined) return undefined;
    return new Cgroup(this.#root, `/user.slice/${user.slice}`);
  }

  /** Every user's slice that there is. */
  slices(): { uid: number; slice: Cgroup }[] {
    if (this.#root === undefined) return [];
    const found = new Cgroup(this.#root, "/user.slice").children();
    return found.flatMap((slice) => {
      const uid = USER_SLICE.exec(slice.path)?.[1];
      return uid === undefined ? [] : [{ uid: Number(uid), slice }];
    });
  }

  /** Every session's scope that there is. */
  scopes(): { uid: number; id: string; scope: Cgroup }[] {
    return this.slices().flatMap(({ uid, slice }) =>
      slice.children().flatMap((scope) => {
        const id = SESSION_SCOPE.exec(scope.path)?.[2];
        return id === undefined ? [] : [{ uid, id, scope }];
      }),
    );
  }

  /** The id of the session whose scope a process is in. */
  sessionIdOf(pid: number): string | undefined {
    return SESSION_SCOPE.exec(cgroupOf(pid) ?? "")?.[2];
  }

  /** The uid whose slice a process is in. */
  ownerOf(pid: number): number | undefined {
    const uid = USER_SLICE.exec(cgroupOf(pid) ?? "")?.[1];
    return uid === undefined ? undefined : Number(uid);
  }
}

/** The nearest of a process and its ancestors that `known` knows, for systems without cgroup2. */
export function nearestAncestor<Found>(
  pid: number,
  known: (pid: number) => Found | undefined,
): Found | undefined {
  for (let at = pid; at > 1; ) {
    const found = known(at);
    if (found !== undefined) return found;
    at = processStatus(at)?.parent ?? 0;
  }
  return undefined;
}
