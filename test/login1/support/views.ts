/** Two views of login1, by the real libsystemd and by the bus, in a form in which they are equal. */
import type { Connection } from "../../../lib/dbus/index.ts";
import { callManager } from "./client.ts";
import { CoProcess } from "./co-process.ts";
import type { World } from "./world.ts";

const ENODATA = -61;
const ENXIO = -6;

/** A process that `View` has started. */
export interface Process {
  pid: number;
  /** The session that it is a member of; undefined for a leader. */
  memberOf?: string;
}

/** sd-view.c as a co-process inside the world. */
export class View {
  readonly #process: CoProcess;

  constructor(world: World, program: string) {
    this.#process = new CoProcess(world, program);
  }

  /** A process that does nothing, and whose pid the bridge may be given as a leader's. */
  async leader(): Promise<Process> {
    return { pid: Number(await this.#process.ask("leader")) };
  }

  /** A process in a session's scope, by its path in the world, that outlives a hangup. */
  async member(memberOf: string, scope: string): Promise<Process> {
    return { pid: Number(await this.#process.ask(`member ${scope}`)), memberOf };
  }

  /** All that libsystemd says, of the processes too. */
  async read(processes: Process[]): Promise<unknown> {
    const words = ["dump", ...processes.map(({ pid }) => String(pid))];
    return JSON.parse(await this.#process.ask(words.join(" ")));
  }

  /** Ends it, and every process that it started. */
  async end(): Promise<void> {
    await this.#process.end();
  }
}

type Properties = Record<string, unknown>;

/** The bus's view: the properties of every object, by name. */
export interface BusView {
  manager: Properties;
  sessions: Map<string, Properties>;
  users: Map<number, Properties>;
  seats: Map<string, Properties>;
}

/** All properties of one object of login1's. */
export async function getAll(bus: Connection, path: string, kind: string): Promise<Properties> {
  const [all] = (await bus.call({
    destination: "org.freedesktop.login1",
    path,
    interface: "org.freedesktop.DBus.Properties",
    member: "GetAll",
    signature: "s",
    body: [`org.freedesktop.login1.${kind}`],
  })) as [Record<string, { value: unknown }>];
  return Object.fromEntries(Object.entries(all).map(([key, { value }]) => [key, value]));
}

/** Lists every object, and gets all of each. */
export async function readBus(bus: Connection): Promise<BusView> {
  const list = async (member: string) => (await callManager(bus, member))[0] as unknown[][];
  const [sessions, users, seats, manager] = await Promise.all([
    list("ListSessions"),
    list("ListUsers"),
    list("ListSeats"),
    getAll(bus, "/org/freedesktop/login1", "Manager"),
  ]);
  const read = async <Key>(entries: unknown[][], kind: string) =>
    new Map(
      await Promise.all(
        entries.map(
          async (entry): Promise<[Key, Properties]> => [
            entry[0] as Key,
            await getAll(bus, entry.at(-1) as string, kind),
          ],
        ),
      ),
    );
  return {
    manager,
    sessions: await read<string>(sessions, "Session"),
    users: await read<number>(users, "User"),
    seats: await read<string>(seats, "Seat"),
  };
}

/** What libsystemd has to say where the bus says this; `knowsLeader` from version 254 on. */
export function asLibsystemd(view: BusView, processes: Process[], knowsLeader: boolean): unknown {
  const { sessions, users, seats } = view;
  return {
    session_count: sessions.size,
    sessions: mapEntries(sessions, (session) => ({
      is_active: Number(session.Active),
      is_remote: Number(session.Remote),
      state: session.State,
      uid: first(session.User),
      seat: orNoData(first(session.Seat)),
      service: orNoData(session.Service),
      type: session.Type,
      class: session.Class,
      desktop: orNoData(session.Desktop),
      display: orNoData(session.Display),
      remote_host: orNoData(session.RemoteHost),
      remote_user: orNoData(session.RemoteUser),
      tty: orNoData(session.TTY),
      vt: session.VTNr === 0 ? ENODATA : session.VTNr,
      ...(knowsLeader ? { leader: session.Leader } : {}),
    })),
    user_count: users.size,
    users: mapEntries(users, (user, uid) => {
      const all = idsOf(user).map((id) => [id, sessions.get(id) ?? {}] as const);
      const online = all.filter(([, { State }]) => State !== "closing");
      const active = online.filter(([, { Active }]) => Active === true);
      const ids = (list: typeof all) => list.map(([id]) => id);
      const seatsOf = (list: typeof all) =>
        unique(list.map(([, session]) => first(session.Seat)).filter((id) => id !== ""));
      const onSeat = (is: (seat: Properties) => boolean) =>
        mapEntries(seats, (seat) => Number(is(seat)));
      return {
        state: user.State,
        display: orNoData(first(user.Display)),
        sessions: ids(all),
        online_sessions: ids(online),
        active_sessions: ids(active),
        seats: seatsOf(all),
        online_seats: seatsOf(online),
        active_seats: seatsOf(active),
        on_seat: onSeat((seat) => idsOf(seat).some((id) => userOf(sessions, id) === uid)),
        active_on_seat: onSeat(
          ({ ActiveSession }) => userOf(sessions, first(ActiveSession)) === uid,
        ),
      };
    }),
    seat_count: seats.size,
    seats: mapEntries(seats, (seat) => {
      const active = first(seat.ActiveSession);
      return {
        active: orNoData(active),
        active_uid: userOf(sessions, active) ?? ENODATA,
        sessions: idsOf(seat),
        uids: idsOf(seat).map((id) => userOf(sessions, id)),
        can_tty: Number(seat.CanTTY),
        can_graphical: Number(seat.CanGraphical),
      };
    }),
    machine_count: 0,
    processes: Object.fromEntries(
      processes.flatMap((process) => {
        const names = [String(process.pid)];
        if (process.memberOf === undefined) names.push(`peer ${process.pid}`);
        return names.map((name) => [name, processIn(view, process, name.startsWith("peer"))]);
      }),
    ),
  };
}

/** A leader whose session has no scope is where it was; of a peer libsystemd says so in another way. */
function inNoScope(isPeer: boolean): unknown {
  const none = isPeer ? ENXIO : ENODATA;
  return {
    session: none,
    owner_uid: none,
    unit: none,
    user_unit: ENODATA,
    slice: "-.slice",
    user_slice: none,
    cgroup: "/",
    machine_name: ENODATA,
  };
}

function processIn(
  { sessions, users }: BusView,
  { pid, memberOf }: Process,
  isPeer: boolean,
): unknown {
  const session =
    memberOf === undefined
      ? [...sessions.values()].find(({ Leader }) => Leader === pid)
      : sessions.get(memberOf);
  if (session?.Scope === "") return inNoScope(isPeer);
  const uid = first(session?.User) as number;
  const slice = users.get(uid)?.Slice;
  return {
    session: session?.Id,
    owner_uid: uid,
    unit: session?.Scope,
    user_unit: ENODATA,
    slice,
    user_slice: "-.slice",
    cgroup: `/user.slice/${slice}/${session?.Scope}${memberOf === undefined ? "/leader" : ""}`,
    machine_name: ENODATA,
  };
}

const first = (value: unknown) => (value as unknown[] | undefined)?.[0] as string | number;
const orNoData = (value: unknown) => (value === "" ? ENODATA : value);
const idsOf = (owner: Properties) => (owner.Sessions as [string, string][]).map(([id]) => id);
const unique = <Value>(values: Value[]) => [...new Set(values)];
const userOf = (sessions: BusView["sessions"], id: unknown) => {
  const session = sessions.get(String(id));
  return session && first(session.User);
};

function mapEntries<Key extends string | number, Value, Result>(
  map: Map<Key, Value>,
  change: (value: Value, key: Key) => Result,
): Record<string, Result> {
  return Object.fromEntries([...map].map(([key, value]) => [key, change(value, key)]));
}
