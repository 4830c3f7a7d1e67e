/** How sessions begin, what they are told, and how they end. */
import { openPidfd } from "../../../../lib/linux/index.ts";
import { UIDS } from "../machine.ts";
import type { Run, Step } from "../run.ts";
import {
  type Choosers,
  call,
  manager,
  Own,
  pidOf,
  someId,
  someone,
  someSeat,
  someSeatId,
  someSession,
  someUid,
  someUser,
} from "./calls.ts";

const MOST_SESSIONS = 8;
const TYPES = ["unspecified", "tty", "x11", "wayland", "mir", "web"];
const CLASSES = [
  ...["user", "user", "user", "user-early", "user-incomplete", "greeter", "lock-screen"],
  ...["background", "background-light", "user-light", "user-early-light", "none"],
];
const TEXTS = ["", "sway", "a b", "it's", '"quoted"', "back\\slash", "$HOME `id`", "Ünïcode", "#!"];
const DESKTOPS = ["", "sway", "a b", "$HOME `id`", "Ünïcode", "#!"];
const [SIGUSR1, SIGCONT] = [10, 18];

const running = (run: Run) => [...run.agents.keys()];
const leaders = (run: Run) => [...run.sessions.values()].map(({ leader }) => leader);
const others = (run: Run) => running(run).filter((name) => !leaders(run).includes(name));

/** What CreateSession is told of a session, from its service on. */
function description({ random }: Run): unknown[] {
  // Somebody far away sits nowhere here, and where he says with logind.
  const remote = random.oneIn(6);
  const seat = remote || random.oneIn(2) ? "" : random.of(["seat0", "seat0", "seat0", "seat-two"]);
  return [
    random.of(TEXTS),
    random.oneIn(20) ? "bogus" : random.oneIn(6) ? "" : random.of(TYPES),
    random.oneIn(20) ? "bogus" : random.oneIn(5) ? "" : random.of(CLASSES),
    random.oneIn(8) ? random.of(TEXTS) : random.of(DESKTOPS),
    !remote && random.oneIn(20) ? "seat-none" : seat,
    // Without VTs logind takes a session's position on seat0 for its VT: no number here is one's.
    !remote && random.oneIn(15) ? random.of([MOST_SESSIONS + 1, 64, 4294967295]) : 0,
    !remote && random.oneIn(12) ? "tty3" : random.of(["", "", "", "pts/4242"]),
    random.of(["", "", "", ":7", "there:0"]),
    remote,
    random.of(TEXTS),
    random.of(TEXTS),
  ];
}

export const sessionSteps: Choosers = {
  createSession: [
    30,
    (run) => {
      const { random } = run;
      if (run.sessions.size >= MOST_SESSIONS) return undefined;
      const free = others(run);
      const leader = random.of(random.oneIn(15) || free.length === 0 ? running(run) : free);
      const uid = random.oneIn(25) ? 4711 : random.of(Object.values(UIDS));
      const about = description(run);
      const name = run.newName("s");
      run.fds.add(name);
      const from = random.oneIn(15) ? someone(run) : "";
      const more = { creates: name, fd: { at: 3, name } };
      if (random.oneIn(2)) {
        const body = [uid, pidOf(leader), ...about, []];
        return call(run, from, manager, "CreateSession", "uusssssussbssa(sv)", body, more);
      }
      const flags = random.oneIn(20) ? 1n : 0n;
      const pidfd = new Own(`pidfd of ${leader}`, ({ agents }) =>
        openPidfd(agents.get(leader).pid),
      );
      const body = [uid, pidfd, ...about, flags, []];
      return call(run, from, manager, "CreateSessionWithPIDFD", "uhsssssussbssta(sv)", body, more);
    },
  ],
  killLeader: [6, (run) => kill(run, leaders(run))],
  killAgent: [8, (run) => kill(run, running(run))],
  enter: [
    8,
    (run) => {
      // One that outlives its leader keeps with logind what it loses here: the foreground and control.
      const nowhere = [...run.sessions].filter(
        ([id, { seat }]) => seat === "" && !run.controllers.has(id),
      );
      const [ids, free] = [nowhere.map(([id]) => id), others(run)];
      if (ids.length === 0 || free.length === 0) return undefined;
      const [id, name] = [run.random.of(ids), run.random.of(free)];
      const uid = run.sessions.get(id)?.uid ?? 0;
      run.entered.add(id);
      return { words: `${name} enters ${id}`, do: (side) => side.enter(name, uid, id) };
    },
  ],
  activate: [8, (run) => call(run, someone(run), someSession(run), "Activate")],
  activateSession: [
    4,
    (run) => call(run, someone(run), manager, "ActivateSession", "s", [someId(run)]),
  ],
  activateOnSeat: [
    4,
    (run) => {
      const body = [someId(run), someSeatId(run)];
      return call(run, someone(run), manager, "ActivateSessionOnSeat", "ss", body);
    },
  ],
  seatActivate: [
    4,
    (run) => call(run, someone(run), someSeat(run), "ActivateSession", "s", [someId(run)]),
  ],
  switchTo: [
    4,
    (run) =>
      call(run, someone(run), someSeat(run), "SwitchTo", "u", [
        run.random.of([0, 1, 2, 3, 64, 65]),
      ]),
  ],
  switchBeside: [
    4,
    (run) => {
      const member = run.random.of(["SwitchToNext", "SwitchToPrevious"]);
      return call(run, someone(run), someSeat(run), member);
    },
  ],
  lock: [6, (run) => call(run, someone(run), someSession(run), run.random.of(["Lock", "Unlock"]))],
  lockSession: [
    4,
    (run) => {
      const member = run.random.of(["LockSession", "UnlockSession"]);
      return call(run, someone(run), manager, member, "s", [someId(run)]);
    },
  ],
  lockSessions: [
    2,
    (run) => call(run, someone(run), manager, run.random.of(["LockSessions", "UnlockSessions"])),
  ],
  setIdleHint: [
    10,
    (run) => call(run, someone(run), someSession(run), "SetIdleHint", "b", [run.random.oneIn(2)]),
  ],
  setLockedHint: [
    6,
    (run) => call(run, someone(run), someSession(run), "SetLockedHint", "b", [run.random.oneIn(2)]),
  ],
  setClass: [
    3,
    (run) => {
      const kind = run.random.of(["user", "user", "greeter", "user-early", "", "bogus"]);
      return call(run, someone(run), someSession(run), "SetClass", "s", [kind]);
    },
  ],
  kill: [
    3,
    (run) => call(run, someone(run), someSession(run), "Kill", "si", [whom(run), signal(run)]),
  ],
  killSession: [
    3,
    (run) => {
      const body = [someId(run), whom(run), signal(run)];
      return call(run, someone(run), manager, "KillSession", "ssi", body);
    },
  ],
  killUser: [
    2,
    (run) => call(run, someone(run), manager, "KillUser", "ui", [someUid(run), signal(run)]),
  ],
  userKill: [2, (run) => call(run, someone(run), someUser(run), "Kill", "i", [signal(run)])],
  terminate: [
    4,
    (run) => ending(run, () => call(run, someone(run), someSession(run), "Terminate")),
  ],
  terminateSession: [
    4,
    (run) =>
      ending(run, () => call(run, someone(run), manager, "TerminateSession", "s", [someId(run)])),
  ],
  userTerminate: [
    4,
    (run) => ending(run, () => call(run, someone(run), someUser(run), "Terminate")),
  ],
  terminateUser: [
    4,
    (run) =>
      ending(run, () => call(run, someone(run), manager, "TerminateUser", "u", [someUid(run)])),
  ],
  seatTerminate: [
    4,
    (run) => ending(run, () => call(run, someone(run), someSeat(run), "Terminate")),
  ],
  terminateSeat: [
    4,
    (run) =>
      ending(run, () => call(run, someone(run), manager, "TerminateSeat", "s", [someSeatId(run)])),
  ],
  linger: [
    6,
    (run) => {
      const body = [someUid(run), run.random.oneIn(2), run.random.oneIn(6)];
      return call(run, someone(run), manager, "SetUserLinger", "ubb", body);
    },
  ],
};

/** One that is closing already is ended by force here, and left alone by logind: not while there is one. */
function ending(run: Run, choose: () => Step): Step | undefined {
  const isClosing = [...run.sessions.values()].some(({ state }) => state === "closing");
  return isClosing ? undefined : choose();
}

const whom = ({ random }: Run) => random.of(["leader", "leader", "all", "all", "", "bogus"]);
const signal = ({ random }: Run) =>
  random.of([SIGCONT, SIGCONT, SIGCONT, SIGUSR1, 0, -1, 65, 9999]);

/** One of these processes ends. */
function kill(run: Run, names: string[]): Step | undefined {
  const there = names.filter((name) => run.agents.has(name));
  if (there.length === 0) return undefined;
  const name = run.random.of(there);
  run.agents.delete(name);
  return { words: `${name} is killed`, do: async (side) => side.agents.kill(name) };
}
