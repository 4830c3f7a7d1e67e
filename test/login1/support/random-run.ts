/** The random run: what can happen to login1, a model of what has, and the comparison after each event. */
import { expect } from "bun:test";
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { BusError, type Connection } from "../../../lib/dbus/index.ts";
import { close, openPidfd, watchProcess } from "../../../lib/linux/index.ts";
import { kill } from "../../../lib/linux/processes/process.ts";
import { SESSION_CLASSES, SESSION_TYPES } from "../../../lib/sd-login/index.ts";
import {
  callManager,
  callSeat,
  callSession,
  createSession,
  createSessionByPidfd,
} from "./client.ts";
import type { Random } from "./random-source.ts";
import { asLibsystemd, type BusView, type Process, readBus, type View } from "./views.ts";
import { scopeOf, type World } from "./world.ts";

/** Accounts that Debian and Arch have: root, daemon or bin, mail, nobody. */
const UIDS = [0, 1, 2, 8, 65534];
const MOST_SESSIONS = 8;
/** libsystemd reads a process's cgroup many times over, so that not all are asked about each time. */
const MOST_PROCESSES = 3;
const SECOND_SEAT = "seat-two";
/** A graphics card, by its key in udev's database. */
const CARD = "c226:7";
const SIGKILL = 9;

/** Text that a careless writer of state files would mangle. */
const TEXTS = [
  "",
  "sway",
  "a b",
  "it's",
  '"quoted"',
  "back\\slash\\x41",
  "$HOME `id`",
  "Ünïcode",
  "#!",
];

/** How often what happens. */
const WEIGHTS = {
  login: 48,
  closeFifo: 10,
  release: 10,
  killLeader: 14,
  killMember: 8,
  addMember: 8,
  terminateSession: 4,
  terminateUser: 2,
  activate: 24,
  switchSeat: 12,
  control: 12,
  releaseControl: 4,
  setType: 10,
  setDisplay: 8,
  setClass: 4,
  lock: 8,
  lockedHint: 10,
  idleHint: 16,
  signal: 4,
  linger: 8,
  plug: 4,
  refusal: 8,
  restart: 1,
  crash: 1,
} as const;
type Event = keyof typeof WEIGHTS;

/** A session as the model has it. */
interface Live {
  id: string;
  path: string;
  uid: number;
  type: string;
  originalType: string;
  class: string;
  seat: string;
  byFifo: boolean;
  /** The fifo's end that keeps it, or -1. */
  fd: number;
  leader: Process;
  leaderRuns: boolean;
  members: Process[];
  closing: boolean;
  controlled: boolean;
}

const hasScope = (session: Live) => !session.class.startsWith("manager");
const isGraphical = (type: string) => ["x11", "wayland", "mir"].includes(type);
const CAN_LOCK = ["user", "user-early", "user-light", "user-early-light"];
const CAN_IDLE = [...CAN_LOCK, "greeter"];
const CAN_SET_TYPE = [...CAN_IDLE, "lock-screen"];

/**
 * What one run of the bridge says as the next: not since when the machine is idle, which is its start at
 * the earliest, nor the users who linger again from a start on.
 */
function ofBoth({ manager, users, ...rest }: BusView, away: ReadonlySet<number>) {
  const { IdleSinceHint: _, IdleSinceHintMonotonic: __, ...others } = manager;
  const stayed = new Map([...users].filter(([uid]) => !away.has(uid)));
  return { ...rest, users: stayed, manager: others };
}

export class RandomRun {
  readonly history: string[] = [];
  readonly tally: Partial<Record<Event, number>> = {};
  readonly #sessions = new Map<string, Live>();
  readonly #lingering = new Set<number>();
  /** Of these, who was terminated and is not back yet. */
  readonly #away = new Set<number>();
  /** The signals of the event that goes on. */
  readonly #heard = new Set<string>();
  #wake: () => void = () => {};
  #knowsLeader = false;

  private constructor(
    readonly world: World,
    readonly bus: Connection,
    readonly view: View,
    readonly random: Random,
  ) {}

  static async begin(
    world: World,
    bus: Connection,
    view: View,
    random: Random,
  ): Promise<RandomRun> {
    const run = new RandomRun(world, bus, view, random);
    const hear = (what: string) => {
      run.#heard.add(what);
      run.#wake();
    };
    const sender = "org.freedesktop.login1";
    await bus.onSignal(
      { sender, interface: "org.freedesktop.login1.Manager", member: "SessionRemoved" },
      ([id]) => hear(`${id} removed`),
    );
    for (const [member, end] of [
      ["SeatNew", "new"],
      ["SeatRemoved", "removed"],
    ] as const) {
      const match = { sender, interface: "org.freedesktop.login1.Manager", member };
      await bus.onSignal(match, ([id]) => hear(`${id} ${end}`));
    }
    await bus.onSignal(
      { sender, interface: "org.freedesktop.DBus.Properties", member: "PropertiesChanged" },
      ([, values], { path }) => {
        const { State } = values as { State?: { value: string } };
        if (State) hear(`${path} ${State.value}`);
      },
    );
    await run.#verify();
    return run;
  }

  /** One event, and the comparison after it. */
  async step(): Promise<void> {
    this.#heard.clear();
    let event: Event;
    do event = this.random.weighted(WEIGHTS);
    while (!(await this.#events[event]()));
    this.tally[event] = (this.tally[event] ?? 0) + 1;
    await this.#verify();
  }

  /** Ends every session and all lingering, and compares once more. */
  async endAll(): Promise<void> {
    for (const session of [...this.#sessions.values()]) await this.#terminate(session);
    for (const uid of [...this.#lingering]) await this.#setLinger(uid, false);
    await this.#verify();
  }

  counts(): { sessions: number; lingering: number } {
    return { sessions: this.#sessions.size, lingering: this.#lingering.size };
  }

  // Events: each returns false where the model has nothing that it could happen to

  readonly #events: Record<Event, () => Promise<boolean>> = {
    login: async () => {
      if (this.#sessions.size >= MOST_SESSIONS) return false;
      const { random } = this;
      const seat = random.oneIn(3) ? "" : random.of(this.#seats);
      const options = {
        uid: random.of(UIDS),
        service: random.of(TEXTS),
        type: random.of(SESSION_TYPES) as string,
        class: random.of(SESSION_CLASSES) as string,
        // Without quotes and backslashes.
        desktop: random.of(TEXTS.filter((text) => !/["'\\]/.test(text))),
        seat,
        tty: random.of(["", "", "pts/4242", "/dev/ttyS77"]),
        display: random.of(["", "", ":7", "there:0"]),
        remote: random.oneIn(4),
        remoteUser: random.of(TEXTS),
        remoteHost: random.of(TEXTS),
      };
      const leader = await this.view.leader();
      this.#note(`login ${leader.pid} ${JSON.stringify(options)}`);
      const byFifo = random.oneIn(2);
      const made = byFifo
        ? await createSession(this.bus, { ...options, leader: leader.pid })
        : await createSessionByPidfd(this.bus, openPidfd(leader.pid), options);
      if (!byFifo) close(made.fd);
      const view = await readBus(this.bus);
      const { Type: type, Class: kind } = view.sessions.get(made.id) ?? {};
      this.#note(`  is ${made.id}`);
      this.#sessions.set(made.id, {
        id: made.id,
        path: made.path,
        uid: options.uid,
        type: String(type),
        originalType: String(type),
        class: String(kind),
        seat: made.seat,
        byFifo,
        fd: byFifo ? made.fd : -1,
        leader,
        leaderRuns: true,
        members: [],
        closing: false,
        controlled: false,
      });
      // The newest session of a seat without VTs is in its foreground.
      if (made.seat) expect(view.sessions.get(made.id)?.Active).toBe(true);
      return true;
    },
    closeFifo: async () => {
      const session = this.#pick(({ fd, closing }) => fd >= 0 && !closing);
      if (!session) return false;
      this.#note(`close the fifo of ${session.id}`);
      this.#closeFifo(session);
      session.closing = true;
      await this.#hear(`${session.path} closing`);
      await this.#abandoned(session);
      return true;
    },
    release: async () => {
      const session = this.#pick(({ closing }) => !closing);
      if (!session) return false;
      this.#note(`release ${session.id}`);
      await callManager(this.bus, "ReleaseSession", "s", [session.id]);
      session.closing = true;
      return true;
    },
    killLeader: async () => {
      const session = this.#pick(({ leaderRuns }) => leaderRuns);
      if (!session) return false;
      this.#note(`kill the leader of ${session.id}`);
      await this.#killLeader(session);
      if (session.members.length === 0) await this.#removed(session);
      else if (!session.closing) await this.#hear(`${session.path} closing`);
      session.closing = true;
      if (session.members.length > 0) await this.#abandoned(session);
      return true;
    },
    addMember: async () => {
      const session = this.#pick(
        (live) => live.leaderRuns && live.members.length < 2 && hasScope(live),
      );
      if (!session) return false;
      this.#note(`start a member of ${session.id}`);
      const { id, uid } = session;
      session.members.push(await this.view.member(id, scopeOf(uid, id)));
      return true;
    },
    killMember: async () => {
      const session = this.#pick(({ members }) => members.length > 0);
      const member = session?.members.pop();
      if (!session || !member) return false;
      this.#note(`kill the member ${member.pid} of ${session.id}`);
      await this.#killed(member);
      if (!session.leaderRuns && session.members.length === 0) await this.#removed(session);
      return true;
    },
    terminateSession: async () => {
      const session = this.#pick();
      if (!session) return false;
      this.#note(`terminate ${session.id}`);
      await this.#terminate(session);
      return true;
    },
    terminateUser: async () => {
      const uid = this.#pick()?.uid;
      if (uid === undefined) return false;
      this.#note(`terminate the user ${uid}`);
      if (this.#lingering.has(uid)) this.#away.add(uid);
      await callManager(this.bus, "TerminateUser", "u", [uid]);
      for (const session of [...this.#sessions.values()]) {
        if (session.uid === uid) await this.#removed(session);
      }
      return true;
    },
    activate: async () => {
      const session = this.#pick(({ seat }) => this.#seats.includes(seat));
      if (!session) return false;
      this.#note(`activate ${session.id}`);
      const way = this.random.below(4);
      if (way === 0) await callManager(this.bus, "ActivateSession", "s", [session.id]);
      else if (way === 1) await this.#onSession(session, "Activate");
      else if (way === 2) await this.#onSeat(session.seat, "ActivateSession", "s", [session.id]);
      else {
        const body = [session.id, session.seat];
        await callManager(this.bus, "ActivateSessionOnSeat", "ss", body);
      }
      return true;
    },
    switchSeat: async () => {
      const seat = this.random.of(this.#seats);
      const open = [...this.#sessions.values()].filter(
        (session) => session.seat === seat && !session.closing,
      );
      if (open.length < 2) return false;
      const member = this.random.of(["SwitchToNext", "SwitchToPrevious"]);
      this.#note(`${member} on ${seat}`);
      await this.#onSeat(seat, member);
      return true;
    },
    control: async () => {
      const session = this.#pick();
      if (!session) return false;
      const force = this.random.oneIn(2);
      this.#note(`take control of ${session.id}${force ? " by force" : ""}`);
      const done = this.#onSession(session, "TakeControl", "b", [force]);
      session.controlled = await allowedIf(session.leaderRuns, done);
      return true;
    },
    releaseControl: async () => {
      const session = this.#pick(({ controlled }) => controlled);
      if (!session) return false;
      this.#note(`release control of ${session.id}`);
      await this.#onSession(session, "ReleaseControl");
      session.controlled = false;
      session.type = session.originalType;
      return true;
    },
    setType: async () => {
      const session = this.#pick(({ controlled }) => controlled);
      if (!session) return false;
      const type = this.random.of(SESSION_TYPES);
      this.#note(`set the type of ${session.id} to ${type}`);
      const done = this.#onSession(session, "SetType", "s", [type]);
      if (!(await allowedIf(CAN_SET_TYPE.includes(session.class), done))) return true;
      session.type = type;
      return true;
    },
    setDisplay: async () => {
      const session = this.#pick(({ controlled }) => controlled);
      if (!session) return false;
      const display = this.random.of(TEXTS);
      this.#note(`set the display of ${session.id} (${session.type}) to ${display}`);
      const done = this.#onSession(session, "SetDisplay", "s", [display]);
      await allowedIf(isGraphical(session.type), done);
      return true;
    },
    setClass: async () => {
      const session = this.#pick(({ class: kind }) => kind === "user-incomplete");
      if (!session) return false;
      this.#note(`complete ${session.id}`);
      await this.#onSession(session, "SetClass", "s", ["user"]);
      session.class = "user";
      return true;
    },
    lock: async () => {
      const session = this.#pick();
      if (!session) return false;
      const member = this.random.of(["Lock", "Unlock"]);
      this.#note(`${member} ${session.id}`);
      if (this.random.oneIn(4)) await callManager(this.bus, `${member}Sessions`);
      else await allowedIf(CAN_LOCK.includes(session.class), this.#onSession(session, member));
      return true;
    },
    lockedHint: async () => {
      const session = this.#pick();
      if (!session) return false;
      const hint = this.random.oneIn(2);
      this.#note(`${session.id} says that it is ${hint ? "" : "not "}locked`);
      const done = this.#onSession(session, "SetLockedHint", "b", [hint]);
      await allowedIf(CAN_LOCK.includes(session.class), done);
      return true;
    },
    idleHint: async () => {
      const session = this.#pick();
      if (!session) return false;
      const hint = this.random.oneIn(2);
      this.#note(`${session.id} says that it is ${hint ? "" : "not "}idle`);
      const done = this.#onSession(session, "SetIdleHint", "b", [hint]);
      await allowedIf(isGraphical(session.type) && CAN_IDLE.includes(session.class), done);
      return true;
    },
    signal: async () => {
      const session = this.#pick(({ leaderRuns }) => leaderRuns);
      if (!session) return false;
      const SIGCONT = 18;
      this.#note(`SIGCONT to ${session.id}`);
      const whom = this.random.of(["leader", "all", ""]);
      const done = callManager(this.bus, "KillSession", "ssi", [session.id, whom, SIGCONT]);
      await allowedIf(whom === "leader" || hasScope(session), done);
      return true;
    },
    linger: async () => {
      const uid = this.random.of(UIDS);
      await this.#setLinger(uid, this.random.oneIn(2));
      return true;
    },
    plug: async () => {
      this.#plug();
      const there = this.#seats.includes(SECOND_SEAT);
      await this.#hear(`${SECOND_SEAT} ${there ? "new" : "removed"}`);
      if (!there) this.#seatWent();
      return true;
    },
    refusal: async () => {
      const before = await readBus(this.bus);
      const { error, done } = await this.#refused();
      await expectRefusal(done, error);
      expect(await readBus(this.bus)).toEqual(before);
      return true;
    },
    restart: () => this.#restart("SIGTERM"),
    crash: () => this.#restart("SIGKILL"),
  };

  /** A call that must be refused, and with which error. */
  async #refused(): Promise<{ error: string; done: Promise<unknown> }> {
    const kinds = ["busy", "seat", "leader", "session", "user"] as const;
    const kind = this.random.of(kinds);
    this.#note(`a call to be refused: ${kind}`);
    const uid = this.random.of(UIDS);
    const login1 = "org.freedesktop.login1";
    const running = this.#pick(({ leaderRuns }) => leaderRuns);
    if (kind === "busy" && running) {
      const done = createSession(this.bus, { uid, leader: running.leader.pid });
      return { error: `${login1}.SessionBusy`, done };
    }
    if (kind === "seat") {
      const { pid } = await this.view.leader();
      const done = createSession(this.bus, { uid, leader: pid, seat: "seat-none" });
      return { error: `${login1}.NoSuchSeat`, done };
    }
    if (kind === "leader") {
      const done = createSession(this.bus, { uid, leader: 1 });
      return { error: "org.freedesktop.DBus.Error.InvalidArgs", done };
    }
    if (kind === "user") {
      const done = callManager(this.bus, "TerminateUser", "u", [12345]);
      return { error: `${login1}.NoSuchUser`, done };
    }
    const done = callManager(this.bus, "ReleaseSession", "s", ["c0"]);
    return { error: `${login1}.NoSuchSession`, done };
  }

  /** Ends the bridge and starts it: all is as it was, but for what ended meanwhile. */
  async #restart(signal: "SIGTERM" | "SIGKILL"): Promise<boolean> {
    const before = await readBus(this.bus);
    const kind = this.random.of(["nothing", "leader", "fifo", "seat", "call"] as const);
    const chosen =
      kind === "leader"
        ? this.#pick(({ leaderRuns }) => leaderRuns)
        : this.#pick(
            ({ fd, closing }) => !closing && (kind === "call" || (kind === "fifo" && fd >= 0)),
          );
    const what = kind === "seat" ? "a change of seats" : chosen && `the ${kind} of ${chosen.id}`;
    this.#note(`${signal} to the bridge${what ? `, and meanwhile ${what}` : ""}`);
    const released =
      chosen && kind === "call"
        ? callManager(this.bus, "ReleaseSession", "s", [chosen.id]).catch(noReply)
        : undefined;
    await this.world.endBridge(signal);
    await released;
    if (kind === "seat") this.#plug();
    else if (chosen && kind === "fifo") this.#closeFifo(chosen);
    else if (chosen && kind === "leader") await this.#killLeader(chosen);
    await this.world.startBridge();
    const away = new Set(this.#away);
    this.#away.clear();
    if (what === undefined) {
      expect(ofBoth(await readBus(this.bus), away)).toEqual(ofBoth(before, away));
    } else if (kind === "seat") this.#seatWent();
    else if (chosen && !chosen.leaderRuns && chosen.members.length === 0) this.#forget(chosen);
    else if (chosen && kind === "call") {
      // The bridge was killed at any point of it; but what it has begun it has done.
      const { State } = (await readBus(this.bus)).sessions.get(chosen.id) ?? {};
      chosen.closing = State === "closing";
    } else if (chosen) {
      chosen.closing = true;
      await this.#abandoned(chosen);
    }
    return true;
  }

  /** Puts the second seat's graphics card in, or takes it out, as udev's database has it. */
  #plug(): void {
    const udev = `${this.world.root}/run/udev`;
    if (this.#seats.includes(SECOND_SEAT)) {
      this.#note("the second seat goes");
      this.#seats = ["seat0"];
      for (const tag of ["seat", "master-of-seat"]) rmSync(`${udev}/tags/${tag}/${CARD}`);
      rmSync(`${udev}/data/${CARD}`);
      return;
    }
    this.#note("a second seat comes");
    this.#seats = ["seat0", SECOND_SEAT];
    for (const folder of ["data", "tags/seat", "tags/master-of-seat"]) {
      mkdirSync(`${udev}/${folder}`, { recursive: true });
    }
    for (const tag of ["seat", "master-of-seat"]) writeFileSync(`${udev}/tags/${tag}/${CARD}`, "");
    const record = `E:ID_SEAT=${SECOND_SEAT}\nG:seat\nG:master-of-seat\n`;
    writeFileSync(`${udev}/data/.${CARD}`, record);
    renameSync(`${udev}/data/.${CARD}`, `${udev}/data/${CARD}`);
  }

  /** The sessions of a seat that is gone are closing. */
  #seatWent(): void {
    for (const session of this.#sessions.values()) {
      session.closing ||= session.seat !== "" && !this.#seats.includes(session.seat);
    }
  }

  async #setLinger(uid: number, enable: boolean): Promise<void> {
    this.#note(`${uid} is ${enable ? "" : "not "}to linger`);
    await callManager(this.bus, "SetUserLinger", "ubb", [uid, enable, false]);
    this.#away.delete(uid);
    if (enable) this.#lingering.add(uid);
    else this.#lingering.delete(uid);
  }

  // How sessions end

  async #terminate(session: Live): Promise<void> {
    await callManager(this.bus, "TerminateSession", "s", [session.id]);
    await this.#removed(session);
  }

  async #removed(session: Live): Promise<void> {
    await this.#hear(`${session.id} removed`);
    this.#forget(session);
  }

  #forget(session: Live): void {
    this.#closeFifo(session);
    this.#sessions.delete(session.id);
  }

  #closeFifo(session: Live): void {
    if (session.fd >= 0) close(session.fd);
    session.fd = -1;
  }

  /** Its login is over: the session has no controller any more. */
  async #abandoned(session: Live): Promise<void> {
    await this.world.until(
      `session ${session.id} has no controller`,
      () => this.world.stateOf("sessions", session.id).CONTROLLER === undefined,
    );
    session.controlled = false;
    session.type = session.originalType;
  }

  async #killLeader(session: Live): Promise<void> {
    await this.#killed(session.leader);
    session.leaderRuns = false;
  }

  /** Kills a process and waits until the kernel has it no more. */
  async #killed({ pid }: Process): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = watchProcess(pid, resolve);
    kill(pid, SIGKILL);
    await promise;
    end();
  }

  // The comparison

  async #verify(): Promise<void> {
    const all = [...this.#sessions.values()].flatMap(({ leader, leaderRuns, members }) =>
      leaderRuns ? [leader, ...members] : members,
    );
    // The newest, and others by chance.
    const others = all
      .slice(0, -1)
      .filter(() => this.random.below(all.length) < MOST_PROCESSES - 1);
    const processes = [...others, ...all.slice(-1)];
    const view = await readBus(this.bus);
    const said = (await this.view.read(processes)) as { sessions: Record<string, object> };
    this.#knowsLeader ||= Object.values(said.sessions).some((session) => "leader" in session);
    expect(said).toEqual(asLibsystemd(view, processes, this.#knowsLeader) as typeof said);
    this.#verifyModel(view);
  }

  /** That both views are right, and not only the same. */
  #verifyModel({ manager, sessions, users, seats }: BusView): void {
    const live = [...this.#sessions.values()];
    expect([...sessions.keys()]).toEqual(live.map(({ id }) => id));
    for (const { id, closing, type, class: kind, seat, uid, leader } of live) {
      const { State, Type, Class, Seat, User, Leader } = sessions.get(id) as Record<
        string,
        unknown
      >;
      const is = {
        closing: State === "closing",
        Type,
        Class,
        seat: (Seat as unknown[])[0],
        uid: (User as unknown[])[0],
        Leader,
      };
      expect(is).toEqual({
        closing,
        Type: type,
        Class: kind,
        seat,
        uid,
        Leader: leader.pid,
      });
    }
    for (const { uid } of live) this.#away.delete(uid);
    const kept = [...this.#lingering].filter((uid) => !this.#away.has(uid));
    const uids = [...new Set([...live.map(({ uid }) => uid), ...kept])].sort();
    expect([...users.keys()].sort()).toEqual(uids);
    const runtime = readdirSync(`${this.world.root}/run/user`);
    expect(runtime.map(Number).sort()).toEqual(uids);
    for (const [uid, { Linger }] of users) expect(Linger).toBe(this.#lingering.has(uid));
    expect([...seats.keys()]).toEqual(this.#seats);
    expect(manager.NCurrentSessions).toBe(BigInt(live.length));
    const files = readdirSync(`${this.world.root}/run/systemd/sessions`).sort();
    expect(files).toEqual(
      live.flatMap(({ id, byFifo }) => (byFifo ? [id, `${id}.ref`] : [id])).sort(),
    );
  }

  // Small help

  #seats = ["seat0"];

  #note(text: string): void {
    this.history.push(text);
  }

  #pick(which: (session: Live) => boolean = () => true): Live | undefined {
    const candidates = [...this.#sessions.values()].filter(which);
    return candidates.length === 0 ? undefined : this.random.of(candidates);
  }

  #onSession(session: Live, member: string, signature = "", body: unknown[] = []) {
    return callSession(this.bus, session.path, member, signature, body);
  }

  #onSeat(seat: string, member: string, signature = "", body: unknown[] = []) {
    return callSeat(this.bus, seat, member, signature, body);
  }

  /** Waits for a signal of the event that goes on. */
  async #hear(what: string): Promise<void> {
    const deadline = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => deadline.reject(new Error(`never heard: ${what}; only ${[...this.#heard]}`)),
      15_000,
    );
    try {
      while (!this.#heard.has(what)) {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await Promise.race([promise, deadline.promise]);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The bus answers so where the bridge has left it. */
function noReply(error: unknown): void {
  const names = ["NoReply", "ServiceUnknown"].map((name) => `org.freedesktop.DBus.Error.${name}`);
  expect(names).toContain((error as BusError).errorName);
}

async function expectRefusal(done: Promise<unknown>, errorName: string): Promise<void> {
  const error = await done.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(BusError);
  expect((error as BusError).errorName).toBe(errorName);
}

/** A call that is done for some sessions, and NotSupported for the others; whether it is done. */
async function allowedIf(allowed: boolean, done: Promise<unknown>): Promise<boolean> {
  if (allowed) await done;
  else await expectRefusal(done, "org.freedesktop.DBus.Error.NotSupported");
  return allowed;
}
