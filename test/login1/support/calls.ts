/**
 * The calls that change something, and who may make them: what docs/permissions.md has, method by
 * method. permission.test.ts makes them.
 */
import type { Connection } from "../../../lib/dbus/index.ts";
import {
  type Created,
  type CreateOptions,
  callManager,
  createSession,
  getProperty,
} from "./client.ts";
import type { World } from "./world.ts";

// Accounts that every Debian and Arch system has.
export const OWNER = 65534;
export const ACTIVE = 1;
export const OTHER = 2;
export const RULED = 8;

export interface People {
  world: World;
  bus: Connection;
  owned: Created;
}

/**
 * How a call went: "yes", the end of the error's name that the message stands for, or "control"
 * where it is for the session's controller alone.
 */
export type Result = "yes" | "denied" | "password" | "control";

export async function call(
  { world }: People,
  path: string,
  member: string,
  words: string[],
  options: { user?: number; cgroup?: string },
  passes = "",
): Promise<Result> {
  const kind = /\/(session|user|seat)\//.exec(path)?.[1] ?? "manager";
  const name = `org.freedesktop.login1.${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
  const { code, stderr } = await world.run(
    [
      ...["busctl", "--allow-interactive-authorization=no", "call"],
      ...["org.freedesktop.login1", path, name, member, ...words],
    ],
    options,
  );
  if (code === 0) return "yes";
  if (stderr.includes("Interactive authentication")) return "password";
  if (stderr.includes("Access denied")) return "denied";
  if (stderr.includes("in control of this session")) return "control";
  if (passes !== "" && stderr.includes(passes)) return "yes";
  throw new Error(`${member}: ${stderr}`);
}

export const MANAGER = "/org/freedesktop/login1";
const SEAT0 = `${MANAGER}/seat/seat0`;

/** Who may: root, the owner, the user in the foreground, one in the background, one without a session. */
type Row = readonly [Result, Result, Result, Result, Result];

const OWNERS: Row = ["yes", "yes", "password", "password", "password"];
const OWNERS_ALONE: Row = ["yes", "yes", "denied", "denied", "denied"];
const ADMINS: Row = ["yes", "password", "password", "password", "password"];
const ROOTS: Row = ["yes", "denied", "denied", "denied", "denied"];
const ACTIVES: Row = ["yes", "password", "yes", "password", "password"];
export const SEATED: Row = ["yes", "password", "yes", "yes", "password"];
const CONTROLLERS: Row = ["control", "control", "control", "control", "control"];

type Words = [path: string, member: string, ...arguments: string[]];

export interface Call {
  words: (people: People) => Words | Promise<Words>;
  results: Row;
  /** The same without polkit, where it is not `results` with every password denied. */
  alone?: Row;
  /** Whose it is, if not OWNER's. */
  owner?: number;
  /** What the error says of a call that may be made and cannot be done. */
  passes?: string;
  /** Root's would end or hide what the others are asked about, or is not for this machine: another file tests it. */
  rootElsewhere?: true;
}

/** A session that a call may end or change. */
async function spare({ world, bus }: People, options: Partial<CreateOptions> = {}) {
  const leader = await world.leader();
  const made = await createSession(bus, { uid: OWNER, leader: leader.pid, ...options });
  spares.push(made.fd);
  return made;
}
export const spares: number[] = [];

/** A time that this machine does not see: 2100. */
const LATER = "4102444800000000";

/**
 * What each call answers to each of them. `password` where polkit could ask for
 * one, which without polkit is `denied`. The signal is SIGCONT, of which nobody dies.
 */
export const CALLS: Readonly<Record<string, Call>> = {
  "Manager.CreateSession": {
    words: () => [
      ...([MANAGER, "CreateSession", "uusssssussbssa(sv)", "1", "0", "x", "tty", "user"] as const),
      ...["", "", "0", "", "", "false", "", "", "0"],
    ],
    results: ROOTS,
    rootElsewhere: true,
  },
  "Manager.ReleaseSession": {
    words: ({ owned }) => [MANAGER, "ReleaseSession", "s", owned.id],
    results: ROOTS,
    rootElsewhere: true,
  },
  "Manager.ActivateSession": {
    words: ({ owned }) => [MANAGER, "ActivateSession", "s", owned.id],
    results: SEATED,
  },
  "Manager.ActivateSessionOnSeat": {
    words: ({ owned }) => [MANAGER, "ActivateSessionOnSeat", "ss", owned.id, "seat0"],
    results: SEATED,
  },
  "Session.Activate": { words: ({ owned }) => [owned.path, "Activate"], results: SEATED },
  "Seat.ActivateSession": {
    words: ({ owned }) => [SEAT0, "ActivateSession", "s", owned.id],
    results: SEATED,
  },
  "Seat.SwitchTo": { words: () => [SEAT0, "SwitchTo", "u", "1"], results: SEATED },
  "Seat.SwitchToNext": { words: () => [SEAT0, "SwitchToNext"], results: SEATED },
  "Seat.SwitchToPrevious": { words: () => [SEAT0, "SwitchToPrevious"], results: SEATED },
  "Manager.LockSession": {
    words: ({ owned }) => [MANAGER, "LockSession", "s", owned.id],
    results: OWNERS,
  },
  "Manager.UnlockSession": {
    words: ({ owned }) => [MANAGER, "UnlockSession", "s", owned.id],
    results: OWNERS,
  },
  "Session.Lock": { words: ({ owned }) => [owned.path, "Lock"], results: OWNERS },
  "Session.Unlock": { words: ({ owned }) => [owned.path, "Unlock"], results: OWNERS },
  "Manager.LockSessions": { words: () => [MANAGER, "LockSessions"], results: ADMINS },
  "Manager.UnlockSessions": { words: () => [MANAGER, "UnlockSessions"], results: ADMINS },
  "Session.SetLockedHint": {
    words: ({ owned }) => [owned.path, "SetLockedHint", "b", "true"],
    results: OWNERS_ALONE,
  },
  "Session.SetIdleHint": {
    words: ({ owned }) => [owned.path, "SetIdleHint", "b", "false"],
    results: OWNERS_ALONE,
  },
  "Session.SetClass": {
    words: async (people) => {
      const { path } = await spare(people, { class: "user-incomplete" });
      return [path, "SetClass", "s", "user"];
    },
    results: OWNERS_ALONE,
  },
  "Session.SetBrightness": {
    // Of a session in the background nobody may, and is told so before it is looked who asks.
    words: async ({ bus }) => {
      const [, path] = (await getProperty(bus, SEAT0, "Seat", "ActiveSession")) as [string, string];
      return [path, "SetBrightness", "ssu", "leds", "none", "1"];
    },
    results: ["yes", "denied", "yes", "denied", "denied"],
    passes: "No such device",
  },
  "Manager.KillSession": {
    words: ({ owned }) => [MANAGER, "KillSession", "ssi", owned.id, "leader", "18"],
    results: OWNERS,
  },
  "Session.Kill": {
    words: ({ owned }) => [owned.path, "Kill", "si", "all", "18"],
    results: OWNERS,
  },
  "Manager.KillUser": {
    words: () => [MANAGER, "KillUser", "ui", String(OWNER), "18"],
    results: OWNERS,
  },
  "User.Kill": {
    words: () => [`${MANAGER}/user/_${OWNER}`, "Kill", "i", "18"],
    results: OWNERS,
  },
  "Manager.TerminateSession": {
    words: async (people) => [MANAGER, "TerminateSession", "s", (await spare(people)).id],
    results: OWNERS,
  },
  "Session.Terminate": {
    words: async (people) => [(await spare(people)).path, "Terminate"],
    results: OWNERS,
  },
  "Manager.TerminateUser": {
    words: async (people) => {
      const { uid } = await spare(people, { uid: RULED });
      return [MANAGER, "TerminateUser", "u", String(uid)];
    },
    results: OWNERS,
    owner: RULED,
  },
  "User.Terminate": {
    words: async (people) => {
      const { uid } = await spare(people, { uid: RULED });
      return [`${MANAGER}/user/_${uid}`, "Terminate"];
    },
    results: OWNERS,
    owner: RULED,
  },
  "Manager.TerminateSeat": {
    words: () => [MANAGER, "TerminateSeat", "s", "seat0"],
    results: ADMINS,
    rootElsewhere: true,
  },
  "Seat.Terminate": { words: () => [SEAT0, "Terminate"], results: ADMINS, rootElsewhere: true },
  "Manager.SetUserLinger": {
    words: () => [MANAGER, "SetUserLinger", "ubb", String(OWNER), "false", "false"],
    results: OWNERS,
  },
  "Manager.AttachDevice": {
    words: () => [MANAGER, "AttachDevice", "ssb", "seat0", "/sys/none", "false"],
    results: ADMINS,
    passes: "No such device",
  },
  "Manager.FlushDevices": {
    words: () => [MANAGER, "FlushDevices", "b", "false"],
    results: ADMINS,
    rootElsewhere: true,
  },
  "Manager.ScheduleShutdown": {
    words: () => [MANAGER, "ScheduleShutdown", "st", "dry-poweroff", LATER],
    results: ACTIVES,
  },
  "Manager.CancelScheduledShutdown": {
    words: async ({ bus }) => {
      await callManager(bus, "ScheduleShutdown", "st", ["dry-poweroff", BigInt(LATER)]);
      return [MANAGER, "CancelScheduledShutdown"];
    },
    results: ACTIVES,
  },
  "Manager.SetWallMessage": {
    words: () => [MANAGER, "SetWallMessage", "sb", "later", "true"],
    // The right to power off implies it, which only polkit knows.
    results: ACTIVES,
    alone: ADMINS,
  },
  "Manager.Inhibit": {
    words: () => [MANAGER, "Inhibit", "ssss", "sleep", "test", "reason", "block"],
    results: ["yes", "denied", "yes", "yes", "denied"],
  },
  "Manager.Reload": { words: () => [MANAGER, "Reload"], results: ROOTS },
  "Manager.ReloadConfig": { words: () => [MANAGER, "ReloadConfig"], results: ROOTS },
  "Manager.SendPrepareForSleep": {
    words: () => [MANAGER, "SendPrepareForSleep", "b", "false"],
    results: ROOTS,
  },
  "Session.TakeControl": {
    words: ({ owned }) => [owned.path, "TakeControl", "b", "false"],
    results: OWNERS_ALONE,
  },
  "Session.TakeControl by force": {
    words: ({ owned }) => [owned.path, "TakeControl", "b", "true"],
    results: ROOTS,
  },
  "Session.ReleaseControl": {
    words: ({ owned }) => [owned.path, "ReleaseControl"],
    results: CONTROLLERS,
  },
  "Session.SetType": {
    words: ({ owned }) => [owned.path, "SetType", "s", "x11"],
    results: CONTROLLERS,
  },
  "Session.SetDisplay": {
    words: ({ owned }) => [owned.path, "SetDisplay", "s", ":1"],
    results: CONTROLLERS,
  },
  "Session.TakeDevice": {
    words: ({ owned }) => [owned.path, "TakeDevice", "uu", "1", "3"],
    results: CONTROLLERS,
  },
  "Session.ReleaseDevice": {
    words: ({ owned }) => [owned.path, "ReleaseDevice", "uu", "1", "3"],
    results: CONTROLLERS,
  },
  "Session.PauseDeviceComplete": {
    words: ({ owned }) => [owned.path, "PauseDeviceComplete", "uu", "1", "3"],
    results: CONTROLLERS,
  },
};

/** Where those are tested that this world cannot be asked: they need a pidfd, a terminal, EFI or a fake kernel. */
export const ELSEWHERE = [
  { methods: /^Manager\.CreateSessionWithPIDFD$/, file: "permission" },
  { methods: /^Session\.SetTTY$/, file: "control" },
  { methods: /^Manager\.SetReboot/, file: "firmware" },
  {
    methods:
      /^Manager\.(PowerOff|Reboot|Halt|Suspend|Hibernate|HybridSleep|SuspendThenHibernate)(WithFlags)?$|^Manager\.Sleep$/,
    file: "sleep",
  },
];
