/** Taking up the sessions of the last run, of which some may have ended while nobody was looking. */
import type { Logger } from "../../cli/index.ts";
import { seatsOfDevices } from "../hardware/udev.ts";
import { Seat } from "../model/objects.ts";
import type { Registry } from "../model/registry.ts";
import type { Foreground } from "../seats/foreground.ts";
import type { SeatHotplug } from "../seats/hotplug.ts";
import type { Settings } from "../settings/logind-conf.ts";
import type { Publisher } from "../state/publisher.ts";
import { ensureStateFolders } from "../state/records.ts";
import {
  loadActiveSession,
  loadSessions,
  loadUsers,
  type OnBad,
  removeUnfinished,
  savedSeats,
  userOfSession,
} from "../state/saved.ts";
import type { StateFiles } from "../state/state-files.ts";
import { idleRuleOf } from "./create-session.ts";
import type { SessionEnd } from "./end-session.ts";
import type { Orphans } from "./orphans.ts";
import type { SessionScopes } from "./scopes.ts";
import type { Supervision } from "./supervision.ts";
import type { SessionTerminals } from "./terminals.ts";
import type { UserLifecycle } from "./user-lifecycle.ts";

/** The parts of login1 that a restart needs. */
export interface RestoreParts {
  readonly log: Logger;
  readonly settings: Settings;
  readonly registry: Registry;
  readonly files: StateFiles;
  readonly publisher: Publisher;
  readonly foreground: Foreground;
  readonly supervision: Supervision;
  readonly scopes: SessionScopes;
  readonly end: SessionEnd;
  readonly users: UserLifecycle;
  readonly orphans: Orphans;
  readonly terminals: SessionTerminals;
  readonly hotplug: SeatHotplug;
}

/**
 * Fills the registry from the state files and goes on with all that was under way.
 *
 * @throws {Error} Node's, if the folders of the state files cannot be made
 */
export function restore(parts: RestoreParts): void {
  const { log, registry, publisher, users, orphans, hotplug } = parts;
  ensureStateFolders();
  if (!parts.scopes.available) {
    log.warning(
      "no cgroup2 is mounted: processes are told apart by their parents only, and sd_pid_get_session(3) finds no session; start cgroup-delegate first",
    );
  }
  const onBad: OnBad = (path, reason) => log.warning(`${path} is not used: ${reason}`);
  removeUnfinished(parts.files);
  fill(parts, onBad);
  for (const user of registry.users.values()) publisher.notifier.noteUser(user);
  for (const session of registry.sessions.values()) publisher.notifier.noteSession(session);
  for (const seat of registry.seats.values()) publisher.notifier.noteSeat(seat);
  for (const seat of registry.seats.values()) {
    parts.foreground.start(seat, loadActiveSession(parts.files, seat, onBad));
    publisher.changes.seat(seat);
  }
  watch(parts);
  for (const seat of registry.goneSeats) hotplug.releaseSessionsOn(seat);
  for (const user of [...registry.users.values()]) users.removeIfUnused(user);
  publisher.after("looking for who lingers", () => users.startLingering());
  publisher.after("looking for what a killed run has left", () => orphans.sweep());
  hotplug.start();
  parts.terminals.follow();
  publisher.flush();
  const { size } = registry.sessions;
  if (size > 0) log.info(`${size} session${size === 1 ? "" : "s"} found from before`);
}

function fill(
  { registry, files, publisher, settings, users, terminals }: RestoreParts,
  onBad: OnBad,
): void {
  for (const id of new Set(["seat0", ...seatsOfDevices()])) registry.addSeat(id);
  const seats = new Set(savedSeats());
  for (const id of seats) if (!registry.seats.has(id)) publisher.forgetSeat(new Seat(id));
  for (const user of loadUsers(files, onBad)) registry.users.set(user.uid, user);
  const found = new Map(registry.users);
  const world = {
    // A kill between the two files of a login leaves the session's only.
    userOf(uid: number, name: string) {
      const user = userOfSession(uid, name, found.get(uid));
      if (user) found.set(uid, user);
      return user;
    },
    // One that went meanwhile has its file still; of one that went before the sessions are ending.
    seatOf: (id: string, isEnding: boolean) =>
      isEnding || seats.has(id) || registry.seats.has(id) ? registry.seatOfBefore(id) : undefined,
    idleRule: idleRuleOf(settings, terminals),
  };
  for (const session of loadSessions(files, world, onBad)) {
    registry.users.set(session.user.uid, session.user);
    registry.addSession(session);
    users.keep(session.user);
  }
  // Who is the display stays so: an election might now go by what its controller has said since.
  for (const user of registry.users.values()) if (!user.display) user.electDisplay();
}

/** Sees to each session, and has the files of all written: one that was killed may have written some of what belongs together. */
function watch({ registry, publisher, supervision, end }: RestoreParts): void {
  const { changes } = publisher;
  for (const user of registry.users.values()) changes.user(user);
  for (const session of [...registry.sessions.values()]) {
    changes.session(session);
    publisher.after(`taking up session ${session.id}`, () => {
      supervision.watchLeaderAgain(session);
      if (!supervision.leaderRuns(session)) end.leaderGone(session);
      supervision.watchFifoAgain(session);
      end.goOn(session);
    });
  }
}
