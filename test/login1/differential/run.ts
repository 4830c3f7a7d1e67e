/** The run: one random step after the other on both sides, and the comparison after each. */
import { existsSync, readFileSync } from "node:fs";
import { BusError, escapeLabel } from "../../../lib/dbus/index.ts";
import { hasCode } from "../../../lib/linux/index.ts";
import { hasOwner } from "../support/client.ts";
import type { Random } from "../support/random-source.ts";
import { scopeOf } from "../support/world.ts";
import { type Difference, differences } from "./compare.ts";
import { explanationOf } from "./explained.ts";
import { UIDS } from "./machine.ts";
import { OPERATOR, type Side } from "./side.ts";
import { comparable } from "./signals.ts";
import { chooseStep } from "./steps/index.ts";

/** How long two servers may take to come to the same, in milliseconds: only a fault takes as long. */
const PATIENCE = 25_000;
/** How often it is looked, in milliseconds. */
const LOOK_AGAIN = 2;

/** Who is there at any time, to call and to be a session's leader. */
const AGENTS = ["root", "alice", "alice", "alice", "bob", "bob", "nobody"] as const;

/** What is done on each side. */
export interface Step {
  words: string;
  do: (side: Side) => Promise<unknown>;
}

/** A session as both sides had it last. */
interface Known {
  uid: number;
  seat: string;
  vtnr: number;
  state: string;
  leader: string;
}

/** Both sides at one moment. */
interface Looked {
  found: Difference[];
  /** What is on its way on either side: an end that was seen and is not told yet. */
  pending: string[];
  states: [ours: Record<string, unknown>, logind: Record<string, unknown>];
}

type Objects = Record<string, Record<string, unknown>>;

export class Run {
  readonly history: string[] = [];
  /** How often each kind of step was done. */
  readonly tally: Record<string, number> = {};
  /** How often each explanation was needed. */
  readonly explained: Record<string, number> = {};
  readonly sessions = new Map<string, Known>();
  readonly users = new Set<number>();
  /** Agents that run, by name, with their uids. */
  readonly agents = new Map<string, number>();
  /** Who asked for control of each session last: an agent, or the operator (""). */
  readonly controllers = new Map<string, string>();
  /** Sessions in which there is or was somebody besides the leader. */
  readonly entered = new Set<string>();
  /** Descriptors that may be held, by name. */
  readonly fds = new Set<string>();
  #names = 0;
  /** Why the last look was in vain, if one was. */
  #why = "a session is brought back again and again";
  /** The session in the foreground of each seat, by the last comparison. */
  readonly #active = new Map<string, string>();
  /** What the sides were like at the last comparison. */
  #before: [ours: Record<string, unknown>, logind: Record<string, unknown>] = [{}, {}];
  /** Objects whose signals of this step are not compared. */
  readonly #unheard = new Set<string>();

  constructor(
    readonly sides: readonly [ours: Side, logind: Side],
    readonly random: Random,
  ) {}

  /** A name that nothing had before. */
  newName(kind: string): string {
    return `${kind}${++this.#names}`;
  }

  /** What differs before anything has happened. */
  async begin(): Promise<Difference[]> {
    await this.#fillAgents();
    return this.#settle([]);
  }

  /** One step. @returns what it showed that nothing explains */
  async step(): Promise<Difference[]> {
    await this.#fillAgents();
    const [kind, step] = chooseStep(this);
    this.tally[kind] = (this.tally[kind] ?? 0) + 1;
    this.history.push(step.words);
    this.#unheard.clear();
    for (const side of this.sides) side.neutral.next();
    const [ours, logind] = await Promise.all(this.sides.map((side) => step.do(side)));
    return this.#settle(differences(ours, logind, `reply ${kind}`));
  }

  async #fillAgents(): Promise<void> {
    const running = [...this.agents.values()];
    for (const account of AGENTS) {
      const uid = UIDS[account];
      const at = running.indexOf(uid);
      if (at >= 0) {
        running.splice(at, 1);
        continue;
      }
      const name = this.newName("a");
      await Promise.all(this.sides.map((side) => side.startAgent(name, uid)));
      this.agents.set(name, uid);
    }
  }

  /** Looks at both until they are the same and nothing is on its way, or until time is up. */
  async #settle(replies: Difference[]): Promise<Difference[]> {
    const end = performance.now() + PATIENCE;
    for (;;) {
      const looked = await this.#look();
      const isLate = performance.now() > end;
      if (looked) {
        const isSame = looked.found.every((each) => explanationOf(each) !== undefined);
        if ((isSame && looked.pending.length === 0) || isLate) {
          return this.#conclude([...replies, ...looked.found], looked);
        }
      } else if (isLate) {
        const logs = this.sides.map(({ name, world }) => `${name}: …${world.log.slice(-400)}`);
        const last = this.history.slice(-6);
        throw new Error(
          ["one of the sides could not be looked at:", this.#why, ...logs, ...last].join("\n"),
        );
      }
      await Bun.sleep(LOOK_AGAIN);
    }
  }

  #conclude(all: Difference[], { pending, states }: Looked): Difference[] {
    for (const side of this.sides) side.forgetSignals();
    this.#before = states;
    this.#learn(states[1]);
    const late = pending.map((what) => ({ where: "never over", ours: what, logind: what }));
    const unexplained = all.filter((difference) => {
      const reason = explanationOf(difference);
      if (reason !== undefined) this.explained[reason] = (this.explained[reason] ?? 0) + 1;
      return reason === undefined;
    });
    return [...unexplained, ...late];
  }

  /** @returns undefined if an object went between the list and the look at it */
  async #look(): Promise<Looked | undefined> {
    try {
      await Promise.all(this.sides.map((side) => side.ping()));
      const states = await Promise.all(this.sides.map((side) => stateOf(side)));
      const [ours = {}, logind = {}] = states;
      if (await this.#bringBack(ours, logind)) return undefined;
      const heard = (side: Side, before: Record<string, unknown>, after: Record<string, unknown>) =>
        Object.fromEntries(
          Object.entries(comparable(side, before, after)).filter(([at]) => !this.#unheard.has(at)),
        );
      const signals = heard(this.sides[0], this.#before[0], ours);
      const others = heard(this.sides[1], this.#before[1], logind);
      return {
        found: [...differences(ours, logind), ...differences(signals, others, "signals")],
        pending: [
          ...(await pendingIn(this.sides[0], ours, this.agents)),
          ...(await pendingIn(this.sides[1], logind, this.agents)),
        ],
        states: [ours, logind],
      };
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      this.#why = `${error.errorName}: ${error.message}`;
      return undefined;
    }
  }

  /**
   * Where the session in the foreground has ended, and there are no VTs, the one before it is back here,
   * and nobody with logind: there it is activated.
   */
  async #bringBack(
    ours: Record<string, unknown>,
    logind: Record<string, unknown>,
  ): Promise<boolean> {
    const activeOf = (state: Record<string, unknown>, seat: string) =>
      ((state.seats as Objects)[seat]?.ActiveSession as [string, string] | undefined) ?? ["", ""];
    for (const [seat, before] of this.#active) {
      const [[id, path], [other]] = [activeOf(ours, seat), activeOf(logind, seat)];
      const { [before]: left } = logind.sessions as Objects;
      const hasEnded = left === undefined || left.State === "closing";
      if (before === "" || !hasEnded) continue;
      // Of several that end together one after the other is back for a moment.
      this.#unheard.add(`/org/freedesktop/login1/seat/${escapeLabel(seat)}`);
      if (id === "" || other !== "") continue;
      this.#unheard.add(path);
      await this.sides[1].activate(id);
      const reason = "a seat without VTs goes back to the session before";
      this.explained[reason] = (this.explained[reason] ?? 0) + 1;
      return true;
    }
    return false;
  }

  /** Takes note of what there is now, for the next steps to happen to. */
  #learn(state: Record<string, unknown>): void {
    this.sessions.clear();
    this.users.clear();
    for (const [id, { User, Seat, ...session }] of inOrder(state.sessions as Objects)) {
      const [uid, seat] = [(User as [number])[0], (Seat as [string])[0]];
      const about = {
        vtnr: Number(session.VTNr),
        state: String(session.State),
        leader: String(session.Leader),
      };
      this.sessions.set(id, { uid, seat, ...about });
    }
    this.#active.clear();
    for (const [seat, { ActiveSession }] of inOrder(state.seats as Objects)) {
      this.#active.set(seat, (ActiveSession as [string])[0]);
    }
    for (const uid of Object.keys(state.users as Objects)) this.users.add(Number(uid));
    for (const [name, runs] of Object.entries(state.running as Record<string, boolean>)) {
      if (runs) continue;
      this.agents.delete(name);
      for (const side of this.sides) side.agents.forget(name);
    }
  }
}

/** By name: the order of the servers' lists is chance, and a seed is to lead to the same steps again. */
const inOrder = (objects: Objects) =>
  Object.entries(objects).toSorted(([one], [other]) =>
    one.length === other.length ? (one < other ? -1 : 1) : one.length - other.length,
  );

/** All that can be seen of a side, its agents among it. */
async function stateOf(side: Side): Promise<Record<string, unknown>> {
  const running = Object.fromEntries(
    side.agents.all.map(({ name, pid }) => [name, existsSync(`/proc/${pid}`)]),
  );
  return { ...(await side.look()), running };
}

/** What is on its way on a side, of which it may not know yet. */
async function pendingIn(
  side: Side,
  state: Record<string, unknown>,
  running: ReadonlyMap<string, number>,
): Promise<string[]> {
  const pending: string[] = [];
  const add = (what: string) => pending.push(`${side.name}: ${what}`);
  const isThere = state.running as Record<string, boolean>;
  for (const { name, pid, bus } of side.agents.all) {
    if (!isThere[name]) {
      // The bus tells of it before it passes on what comes later.
      if (await hasOwner(side.bus, bus.uniqueName)) add(`${name} is still on the bus`);
    } else if ((name !== OPERATOR && !running.has(name)) || hasSignal(pid)) {
      add(`${name} is about to end`);
    }
  }
  for (const [id, { User, Leader, State }] of Object.entries(state.sessions as Objects)) {
    const scope = scopeOf((User as [number])[0], side.neutral.idOf(id));
    if (isEmpty(`${side.world.cgroupFolder}${scope}`)) add(`${id} is empty`);
    if (State !== "closing" && !isThere[String(Leader)]) add(`the leader of ${id} has ended`);
  }
  for (const [uid, { Sessions, Linger }] of Object.entries(state.users as Objects)) {
    const isUsed = (Sessions as unknown[]).length > 0 || Linger === true;
    if (!isUsed) add(`user ${uid} has nothing`);
  }
  const { NCurrentInhibitors } = state.manager as Record<string, unknown>;
  if (Number(NCurrentInhibitors) !== side.inhibitors) add("an inhibitor has ended");
  return pending;
}

/** Whether a process has a signal that it has not taken yet. */
function hasSignal(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return /^(?:SigPnd|ShdPnd):\t0*[1-9a-f]/m.test(status);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return true;
    throw error;
  }
}

/** Whether a cgroup has lost its last process; one that is not there has not. */
function isEmpty(folder: string): boolean {
  try {
    return readFileSync(`${folder}/cgroup.events`, "utf8").includes("populated 0");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV")) return false;
    throw error;
  }
}
