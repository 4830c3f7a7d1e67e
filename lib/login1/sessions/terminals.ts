/**
 * The terminals of sessions whose login program had none yet when it registered them, as sshd does: it
 * asks for one later, or never. utmp says which, as with logind. Where nobody writes utmp any more, the
 * kernel says which terminals the session's processes have, and that is enough to see whether anybody
 * still types there.
 */
import type { Logger } from "../../cli/index.ts";
import { messageOf } from "../../linux/index.ts";
import { lastTouched, ownerOfTerminal, terminalOfProcess } from "../hardware/terminal.ts";
import { readUtmp, watchUtmp } from "../hardware/utmp.ts";
import type { Session } from "../model/objects.ts";
import type { Publisher } from "../state/publisher.ts";
import type { Membership } from "./membership.ts";
import type { SessionScopes } from "./scopes.ts";

const ROOT = 0;
/** A login has few processes; whoever starts thousands keeps nobody waiting while they are looked at. */
const MOST_PROCESSES = 64;
/** Of more than so many what was seen holds for a while, since each GetAll asks for all sessions. */
const FEW_PROCESSES = 16;
/** For how long, in milliseconds. */
const LOOK_AGAIN = 1000;

export class SessionTerminals {
  #endWatch: (() => void) | undefined;
  /** Which terminals the processes of a session have that are many, and until when that holds. */
  readonly #seen = new WeakMap<Session, { names: Set<string>; until: number }>();
  /** What is wrong with utmp, as it was said last. */
  #problem = "";

  constructor(
    private readonly log: Logger,
    private readonly publisher: Publisher,
    private readonly scopes: SessionScopes,
    private readonly membership: Membership,
  ) {}

  /** Reads utmp, and again whenever it changes. It may be made later: each login looks for it. */
  follow(): void {
    if (this.#endWatch) return;
    this.publisher.after("looking for utmp", () => {
      this.#endWatch = watchUtmp(
        () => this.publisher.after("a change of utmp", () => this.#read()),
        () => this.#followAgain(),
      );
      if (this.#endWatch) this.#read();
    });
  }

  #followAgain(): void {
    this.stop();
    this.follow();
  }

  stop(): void {
    this.#endWatch?.();
    this.#endWatch = undefined;
  }

  #read(): void {
    let problem = "";
    try {
      for (const { pid, tty } of readUtmp()) this.#take(pid, tty);
      this.publisher.flush();
    } catch (error) {
      problem = `utmp is not read: ${messageOf(error)}`;
    }
    if (problem !== "" && problem !== this.#problem) this.log.warning(problem);
    this.#problem = problem;
  }

  /** A terminal window writes itself down too; only to a login in text it says where somebody types. */
  #take(pid: number, tty: string): void {
    const session = this.membership.sessionOfPid(pid);
    if (session?.type !== "tty") return;
    if (session.ttyValidity === "from-utmp") {
      if (session.tty === tty) return;
      // Several by one connection (ssh's ControlMaster): none of them is the one.
      session.tty = "";
      session.ttyValidity = "utmp-inconsistent";
    } else {
      if (session.tty !== "" || session.ttyValidity !== undefined) return;
      session.tty = tty;
      session.ttyValidity = "from-utmp";
    }
    this.publisher.changes.session(session, "TTY");
  }

  /**
   * When somebody last typed at a session's terminal, or else at any of those that its processes have,
   * in microseconds since the epoch.
   *
   * @returns undefined if it has none
   */
  lastTouched(session: Session): bigint | undefined {
    const own = session.tty === "" ? undefined : lastTouched(session.tty);
    if (own !== undefined) return own;
    let last: bigint | undefined;
    for (const name of this.#terminalsOf(session)) {
      const touched = lastTouched(name);
      if (touched !== undefined && (last === undefined || touched > last)) last = touched;
    }
    return last;
  }

  #terminalsOf(session: Session): Set<string> {
    const { user, leader } = session;
    const seen = this.#seen.get(session);
    if (seen && performance.now() < seen.until) return seen.names;
    const names = new Set<string>();
    const pids = this.scopes.scopeOf(session)?.processes(true) ?? [];
    for (const pid of [leader.pid, ...pids.slice(0, MOST_PROCESSES)]) {
      const name = terminalOfProcess(pid);
      if (name === undefined || names.has(name)) continue;
      // A container's terminals have the numbers of others. The leader is the login program's word.
      const owner = pid === leader.pid ? ROOT : ownerOfTerminal(name);
      if (owner === user.uid || owner === ROOT) names.add(name);
    }
    if (pids.length > FEW_PROCESSES) {
      this.#seen.set(session, { names, until: performance.now() + LOOK_AGAIN });
    }
    return names;
  }
}
