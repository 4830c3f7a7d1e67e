/** The bridge: a Manager, its objects on the bus, and the signals between them. */

import { LimitedLog, type Logger, logFailures, settle, traceOf, version } from "../cli/index.ts";
import { BusError, type CallContext, Connection, ObjectTree, Variant } from "../dbus/index.ts";
import { characterDeviceOf, messageOf } from "../linux/index.ts";
import { Service, VarlinkServer } from "../varlink/index.ts";
import { Triggers } from "./actions/sources.ts";
import { desktopInterface } from "./dbus/lainos-session.ts";
import { managerInterface } from "./dbus/manager.ts";
import { seatInterface } from "./dbus/seat.ts";
import { sessionInterface } from "./dbus/session.ts";
import { findUnit, unitInterfaces, unitManagerInterface } from "./dbus/systemd1.ts";
import { userInterface } from "./dbus/user.ts";
import { Control } from "./devices/control.ts";
import { takeable } from "./devices/device-kinds.ts";
import { type DescriptorStore, Devices } from "./devices/session-devices.ts";
import { DeviceAccess } from "./devices/uaccess.ts";
import { characterDevice, udevRecord, watchUdev } from "./hardware/udev.ts";
import { Inhibitors } from "./inhibitors/inhibitors.ts";
import type { Login1 } from "./login1.ts";
import { userLabels } from "./model/user.ts";
import { usePolkit } from "./permission/authorize.ts";
import { Polkit } from "./permission/polkit.ts";
import { Operations } from "./power/operations.ts";
import { Power } from "./power/shutdown.ts";
import { Sleeper } from "./power/sleep.ts";
import { Seats } from "./seats/seats.ts";
import { findSeat, findSession, findUser } from "./sessions/lookup.ts";
import { Manager } from "./sessions/manager.ts";
import { Settings } from "./settings/logind-conf.ts";
import type { ManagerEvents } from "./state/pending-changes.ts";
import { LOGIN_SOCKET, loginInterface } from "./varlink/login-interface.ts";
import {
  BUS_NAME,
  MANAGER_PATH,
  SEAT_FOLDER,
  SESSION_FOLDER,
  UNIT_BUS_NAME,
  UNIT_FOLDER,
  UNIT_MANAGER_PATH,
  USER_FOLDER,
} from "./vocabulary/paths.ts";
import { isShutdown } from "./vocabulary/power-verbs.ts";

/** How long the bus may take to answer at the start, in milliseconds. */
const CONNECT_TIMEOUT = 10_000;

/** A running bridge. */
export interface Bridge {
  /** Resolves with the reason when it can be login1 no longer: another program has taken the name. */
  closed: Promise<string>;
  /** Reads the configuration again. */
  reload(): void;
  /** Gives the name back. The sessions and their files stay, for the next run. */
  stop(): void;
}

/**
 * Reads the state, puts the objects on the system bus, and takes the name
 * org.freedesktop.login1. When it returns, login1 answers.
 *
 * @param store what keeps the open files of taken devices for the next run
 * @throws {Error} that names the bus or the name, if either cannot be had
 */
export async function startBridge(log: Logger, store: DescriptorStore): Promise<Bridge> {
  const connection = await Connection.open(undefined, CONNECT_TIMEOUT);
  const { promise: closed, resolve: close } = Promise.withResolvers<string>();
  // What strangers bring about is counted: none of them fills the log.
  const limited = new LimitedLog(log);
  logFailures(log);
  connection.onBadMessage = (error, sender) => {
    const account = connection.accountOf(sender);
    limited.write("warning", account, `${account}: a message was dropped: ${error.message}`);
  };
  const tree = new ObjectTree(connection, ({ member, sender }, error) => {
    const account = connection.accountOf(sender);
    limited.write("error", account, `${member} of ${account} failed: ${traceOf(error)}`);
  });
  let session: ReturnType<typeof sessionInterface>;
  let user: ReturnType<typeof userInterface>;
  let seat: ReturnType<typeof seatInterface>;
  let triggers: Triggers | undefined;
  const events: ManagerEvents = {
    sessionNew: ({ id, objectPath }) => {
      tree.emit(MANAGER_PATH, managerInterface, "SessionNew", [id, objectPath]);
      triggers?.settle();
      // Until the next login nobody may want anything for hours.
      settle(log);
    },
    sessionRemoved: ({ id, objectPath }) => {
      tree.emit(MANAGER_PATH, managerInterface, "SessionRemoved", [id, objectPath]);
      triggers?.settle();
    },
    sessionChanged: (target, names) => {
      tree.emitChanged(target.objectPath, session, target, names);
      triggers?.settle();
    },
    sessionLock: ({ objectPath }, lock) =>
      tree.emit(objectPath, session, lock ? "Lock" : "Unlock", []),
    userNew: ({ uid, objectPath }) =>
      tree.emit(MANAGER_PATH, managerInterface, "UserNew", [uid, objectPath]),
    userRemoved: ({ uid, objectPath }) =>
      tree.emit(MANAGER_PATH, managerInterface, "UserRemoved", [uid, objectPath]),
    userChanged: (target, names) => tree.emitChanged(target.objectPath, user, target, names),
    seatNew: ({ id, objectPath }) =>
      tree.emit(MANAGER_PATH, managerInterface, "SeatNew", [id, objectPath]),
    seatRemoved: ({ id, objectPath }) =>
      tree.emit(MANAGER_PATH, managerInterface, "SeatRemoved", [id, objectPath]),
    managerChanged: (names) => tree.emitChanged(MANAGER_PATH, managerInterface, login1, names),
    seatChanged: (target, names) => tree.emitChanged(target.objectPath, seat, target, names),
  };
  // What a controller is told while its devices are restored waits for the name: libraries pass over
  // signals of a connection that is not known as login1 yet.
  let unnamed: (() => void)[] | undefined = [];
  const onceNamed = (emit: () => void) => {
    if (unnamed) unnamed.push(emit);
    else emit();
  };
  const settings = new Settings(log);
  const manager = new Manager(log, events, settings, (task) => connection.afterwards(task));
  const devices = new Devices(
    log,
    manager,
    {
      find(number) {
        const device = characterDevice(number);
        return device && takeable(device);
      },
      isOpenOn: (fd, number) => characterDeviceOf(fd) === number,
      seatOf({ seatDevice }) {
        const record = udevRecord(seatDevice);
        return record?.hasSeat ? record.seat : undefined;
      },
    },
    {
      paused: ({ objectPath, controller }, major, minor, how) =>
        controller &&
        onceNamed(() =>
          tree.emit(objectPath, session, "PauseDevice", [major, minor, how], controller),
        ),
      resumed: ({ objectPath, controller }, major, minor, fd) =>
        onceNamed(() =>
          tree.emit(objectPath, session, "ResumeDevice", [major, minor, fd], controller),
        ),
    },
    store,
  );
  const control = new Control(log, manager, devices);
  // Control first: what it gives up takes the devices along.
  const access = new DeviceAccess(log, manager);
  manager.followers.push(control, devices, access);
  const inhibitors = new Inhibitors(log, settings, (names) => {
    events.managerChanged(names);
    triggers?.settle();
  });
  const operations = new Operations(log, inhibitors, (way, active) => {
    if (!active) triggers?.awoke();
    if (!isShutdown(way)) {
      tree.emit(MANAGER_PATH, managerInterface, "PrepareForSleep", [active]);
      return;
    }
    // In this order: who gets the plain one first takes it that the other does not exist.
    const details = { type: new Variant("s", way) };
    tree.emit(MANAGER_PATH, managerInterface, "PrepareForShutdownWithMetadata", [active, details]);
    tree.emit(MANAGER_PATH, managerInterface, "PrepareForShutdown", [active]);
  });
  const power = new Power(log, operations, settings, () =>
    events.managerChanged(["ScheduledShutdown"]),
  );
  const sleeper = new Sleeper(log, operations, settings);
  usePolkit(new Polkit(connection, log), manager);
  const parts = { manager, settings, inhibitors, operations, power, sleeper, control, devices };
  const armed = new Triggers(log, parts, {
    secureAttentionKey: (id) =>
      tree.emit(MANAGER_PATH, managerInterface, "SecureAttentionKey", [
        id,
        manager.seat(id).objectPath,
      ]),
    lidChanged: () => events.managerChanged(["LidClosed"]),
  });
  const login1: Login1 = { ...parts, lid: armed.lid };
  const seats = new Seats(manager);
  session = sessionInterface(login1);
  user = userInterface(manager);
  seat = seatInterface(manager);

  tree.addObject(MANAGER_PATH, [managerInterface], login1);
  tree.addFolder(SESSION_FOLDER, {
    interfaces: [session, desktopInterface(manager)],
    // Without a promise where there need be none: the answer goes out in the same turn.
    find: (name, call) =>
      manager.sessions.get(name) ?? orNothing(() => findSession(manager, name, call)),
    names: () => [...manager.sessions.keys()],
  });
  tree.addFolder(USER_FOLDER, {
    interfaces: [user],
    find: (name, call) =>
      manager.users.get(Number(name)) ?? orNothing(() => findUserByName(manager, name, call)),
    names: () => [...manager.users.keys()].map(String),
    labels: userLabels,
  });
  tree.addFolder(SEAT_FOLDER, {
    interfaces: [seat],
    find: (name, call) => manager.seats.get(name) ?? orNothing(() => findSeat(manager, name, call)),
    names: () => [...manager.seats.keys()],
  });

  tree.addObject(UNIT_MANAGER_PATH, [unitManagerInterface], manager);
  tree.addFolder(UNIT_FOLDER, {
    interfaces: unitInterfaces,
    find: (name) => findUnit(manager, name),
    names: () => [
      ...[...manager.users.values()].map((known) => known.slice),
      ...[...manager.sessions.values()].map((known) => known.scope),
    ],
  });

  manager.start();
  inhibitors.start();
  seats.start();
  access.refresh();
  connection.onNameLost((name) => control.nameLost(name));
  await connection.keepConnected({
    lost: (reason) => log.error(`the message bus is lost: ${reason}; it is connected to again`),
    failed: (reason) => limited.write("warning", "the bus", `the bus is tried again: ${reason}`),
    back(sameBus) {
      log.info(`the message bus is there again${sameBus ? "" : ", started anew"}`);
      void control
        .checkControllers(sameBus, (name) => connection.caller(name))
        .catch((error) => log.error(`after the bus came back: ${messageOf(error)}`));
    },
    replaced: (name) => close(`another program has taken the bus name ${name}`),
  });
  await control.restore((name) => connection.caller(name));
  const endUdevWatch = watchUdev(() => {
    try {
      seats.refresh();
      devices.refresh();
      access.refresh();
      triggers?.devicesChanged();
    } catch (error) {
      log.error(`after a change in udev: ${messageOf(error)}`);
    }
  });
  let varlink: VarlinkServer | undefined;
  const stop = () => {
    varlink?.stop();
    armed.stop();
    power.stop();
    operations.stop();
    inhibitors.stop();
    endUdevWatch();
    control.stop();
    devices.stop();
    manager.stop();
    connection.close();
  };
  try {
    await connection.requestName(BUS_NAME);
  } catch (error) {
    stop();
    throw error;
  }
  for (const emit of unnamed.splice(0)) emit();
  unnamed = undefined;
  operations.start();
  power.start();
  triggers = armed;
  triggers.start();
  try {
    // Who has the name is the only logind, so whatever socket is there is nobody's.
    varlink = serveVarlink(manager, log);
  } catch (error) {
    // Without the socket pam_systemd takes the bus.
    log.error(`no varlink: ${messageOf(error)}`);
  }
  try {
    await connection.requestName(UNIT_BUS_NAME);
  } catch (error) {
    // Only loginctl's list of processes needs it.
    const reason = messageOf(error);
    log.warning(`loginctl cannot list a session's processes: ${reason}`);
  }
  return {
    closed,
    stop,
    reload() {
      try {
        settings.reload();
      } catch (error) {
        // A signal has nobody to answer, and what was in force stays so.
        const reason = messageOf(error);
        log.error(`the configuration could not be read again: ${reason}`);
      }
    },
  };
}

function serveVarlink(manager: Manager, log: Logger): VarlinkServer {
  const info = {
    vendor: "The LainOS Project",
    product: "Protocol 7 (lainos-dbus-bridge)",
    version,
    url: "https://github.com/The-LainOS-Project/lainos-layer-02",
  };
  const limited = new LimitedLog(log);
  const service = new Service(info, [loginInterface(manager)], ({ method }, error) =>
    limited.write("error", method, `${method} by varlink failed: ${traceOf(error)}`),
  );
  return new VarlinkServer(LOGIN_SOCKET, service, {
    onDebug: (message) => log.debug(message),
    onError: (message) => log.error(`${LOGIN_SOCKET}: ${message}`),
  });
}

/** A user's object is named by the uid, or `self` for the caller's own. */
function findUserByName(manager: Manager, name: string, call: CallContext) {
  const OWN = 0xffffffff;
  return findUser(manager, name === "self" ? OWN : Number(name), call);
}

/** An object that does not exist is no error while looking for it: the tree says UnknownObject. */
async function orNothing<Found>(find: () => Found | Promise<Found>): Promise<Found | undefined> {
  try {
    return await find();
  } catch (error) {
    if (error instanceof BusError) return undefined;
    throw error;
  }
}
