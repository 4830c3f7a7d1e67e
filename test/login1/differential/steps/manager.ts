/** What the manager is asked and told: look-ups, inhibitors, power, devices, texts. */
import type { Run } from "../run.ts";
import {
  type Choosers,
  call,
  manager,
  pidOf,
  someId,
  someone,
  someSeatId,
  someUid,
} from "./calls.ts";

const POWER = ["PowerOff", "Reboot", "Halt"];
const SLEEP = ["Suspend", "Hibernate", "HybridSleep", "SuspendThenHibernate"];
const CAN = [
  ...["PowerOff", "Reboot", "Halt", "Suspend", "Hibernate", "HybridSleep", "SuspendThenHibernate"],
  ...["Sleep", "RebootParameter", "RebootToFirmwareSetup", "RebootToBootLoaderMenu"],
  "RebootToBootLoaderEntry",
];
/** Not handle-suspend-key: systemd-logind 262 ends, by a buffer that is too short, when all eight are blocked at a time. */
const WHAT = [
  ...["shutdown", "sleep", "idle", "handle-power-key", "handle-hibernate-key"],
  ...["handle-lid-switch", "handle-reboot-key"],
];
const MODES = ["block", "block", "delay", "block-weak", "", "bogus"];
const TEXTS = ["", "a test", "two\nlines", "Ünïcode", "x".repeat(200), '"\\$`'];
const BLOCKS_SHUTDOWN = "b";
/** 2100-01-01, in µs. */
const FAR = 4102444800000000n;

/** Words of what is inhibited, right or not. */
function what({ random }: Run): string {
  if (random.oneIn(10))
    return random.of(["", "bogus", "shutdown:bogus", "shutdown:", ":", "idle:idle"]);
  const words = WHAT.filter(() => random.oneIn(5));
  return words.length === 0 ? random.of(WHAT) : words.join(":");
}

function inhibit(run: Run, from: string, kind: string, body: unknown[]) {
  const name = run.newName(kind);
  run.fds.add(name);
  return call(run, from, manager, "Inhibit", "ssss", body, { fd: { at: 0, name } });
}

const FLAGS = [0n, 1n, 1n << 40n];

/** A method that is there in two forms. */
function either(run: Run, verb: string) {
  const { random } = run;
  return random.oneIn(2)
    ? call(run, someone(run), manager, verb, "b", [random.oneIn(4)])
    : call(run, someone(run), manager, `${verb}WithFlags`, "t", [random.of(FLAGS)]);
}

export const managerSteps: Choosers = {
  getSession: [5, (run) => call(run, someone(run), manager, "GetSession", "s", [someId(run)])],
  getUser: [3, (run) => call(run, someone(run), manager, "GetUser", "u", [someUid(run)])],
  getSeat: [4, (run) => call(run, someone(run), manager, "GetSeat", "s", [someSeatId(run)])],
  getByPid: [
    6,
    (run) => {
      const { random } = run;
      const member = random.of(["GetSessionByPID", "GetUserByPID"]);
      const pid = random.oneIn(5)
        ? random.of([0, 1, 4194305, 4294967295])
        : pidOf(random.of([...run.agents.keys()]));
      return call(run, someone(run), manager, member, "u", [pid]);
    },
  ],
  inhibit: [
    12,
    (run) => {
      const { random } = run;
      const body = [what(run), random.of(TEXTS), random.of(TEXTS), random.of(MODES)];
      return inhibit(run, someone(run), "i", body);
    },
  ],
  blockShutdown: [
    2,
    (run) => inhibit(run, "", BLOCKS_SHUTDOWN, ["shutdown", "root", "a test", "block"]),
  ],
  closeDescriptor: [
    14,
    (run) => {
      // A session made by CreateSession ends with its descriptor here, and with its leader there.
      const names = [...run.fds].filter((name) => !name.startsWith("s"));
      if (names.length === 0) return undefined;
      const name = run.random.of(names);
      run.fds.delete(name);
      return { words: `${name} is closed`, do: async (side) => side.closeFd(name) };
    },
  ],
  can: [6, (run) => call(run, someone(run), manager, `Can${run.random.of(CAN)}`)],
  power: [
    3,
    (run) => {
      // What would be done stays undone: somebody holds it back, whoever asks.
      const isBlocked = [...run.fds].some((name) => name.startsWith(BLOCKS_SHUTDOWN));
      if (!isBlocked) return undefined;
      const { random } = run;
      return either(run, random.of(POWER));
    },
  ],
  sleep: [
    3,
    (run) => {
      const { random } = run;
      if (random.oneIn(5)) {
        return call(run, someone(run), manager, "Sleep", "t", [random.of(FLAGS)]);
      }
      return either(run, random.of(SLEEP));
    },
  ],
  schedule: [
    4,
    (run) => {
      const kinds = [
        "poweroff",
        "reboot",
        "halt",
        "kexec",
        "dry-poweroff",
        "dry-reboot",
        "",
        "sleep",
      ];
      const body = [run.random.of(kinds), FAR + BigInt(run.random.below(1000))];
      return call(run, someone(run), manager, "ScheduleShutdown", "st", body);
    },
  ],
  cancel: [3, (run) => call(run, someone(run), manager, "CancelScheduledShutdown")],
  rebootParameter: [
    2,
    (run) =>
      call(run, someone(run), manager, "SetRebootParameter", "s", [
        run.random.of(["", "x", "a b"]),
      ]),
  ],
  rebootTo: [
    3,
    (run) => {
      const { random } = run;
      const from = someone(run);
      switch (random.below(3)) {
        case 0:
          return call(run, from, manager, "SetRebootToFirmwareSetup", "b", [random.oneIn(2)]);
        case 1: {
          const menu = random.of([0n, 1000000n, 18446744073709551615n]);
          return call(run, from, manager, "SetRebootToBootLoaderMenu", "t", [menu]);
        }
        default: {
          const entry = random.of(["", "arch", "a/b"]);
          return call(run, from, manager, "SetRebootToBootLoaderEntry", "s", [entry]);
        }
      }
    },
  ],
  wallMessage: [
    3,
    (run) => {
      const text = run.random.of(["", "going down", "Ünïcode", "x".repeat(4096), "x".repeat(4097)]);
      return call(run, someone(run), manager, "SetWallMessage", "sb", [text, run.random.oneIn(2)]);
    },
  ],
  attach: [
    3,
    (run) => {
      const { random } = run;
      const path = random.of([
        ...["/sys/devices/fake/input3", "/sys/devices/virtual/mem/full", "/sys/none"],
        ...["/etc", "/sys/../etc", "sys", "", "/sys"],
      ]);
      const seat = random.of(["seat0", "seat-three", "bad", "", "self", "seat/x"]);
      return call(run, someone(run), manager, "AttachDevice", "ssb", [seat, path, random.oneIn(4)]);
    },
  ],
  flush: [1, (run) => call(run, someone(run), manager, "FlushDevices", "b", [run.random.oneIn(4)])],
};
