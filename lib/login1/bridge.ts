/** The bridge: makes the parts of login1, puts them on the bus and the varlink socket, and ends them. */
import { LimitedLog, type Logger, logFailures, settle, traceOf, version } from "../cli/index.ts";
import { Connection, ObjectTree } from "../dbus/index.ts";
import { messageOf } from "../linux/index.ts";
import { Service, VarlinkServer } from "../varlink/index.ts";
import { ActionSources } from "./actions/sources.ts";
import { addObjects } from "./dbus/objects.ts";
import { BusSignals } from "./dbus/signals.ts";
import { Control } from "./devices/control.ts";
import { deviceLookup } from "./devices/device-lookup.ts";
import type { DescriptorStore } from "./devices/parts.ts";
import { Devices } from "./devices/session-devices.ts";
import { Uaccess } from "./devices/uaccess.ts";
import { watchUdev } from "./hardware/udev.ts";
import { Inhibitors } from "./inhibitors/inhibitors.ts";
import type { Login1 } from "./login1.ts";
import { Authorizer } from "./permission/authorize.ts";
import { Polkit } from "./permission/polkit.ts";
import { Operations } from "./power/operations.ts";
import { Power } from "./power/shutdown.ts";
import { Sleeper } from "./power/sleep.ts";
import type { AfterReply } from "./sessions/create-session.ts";
import { Manager } from "./sessions/manager.ts";
import { Settings } from "./settings/logind-conf.ts";
import { LOGIN_SOCKET, loginInterface } from "./varlink/login-interface.ts";
import { BUS_NAME, UNIT_BUS_NAME } from "./vocabulary/paths.ts";

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
 * @throws {Error} that names the bus, the name or the file at fault; nothing of it is left then
 */
export async function startBridge(log: Logger, store: DescriptorStore): Promise<Bridge> {
  const connection = await Connection.open(undefined, CONNECT_TIMEOUT);
  const ends: (() => void)[] = [() => connection.close()];
  const stop = () => {
    for (const end of ends.splice(0).reverse()) {
      try {
        end();
      } catch (error) {
        log.error(`while ending: ${messageOf(error)}`);
      }
    }
  };
  try {
    return await start(log, store, connection, ends, stop);
  } catch (error) {
    stop();
    throw error;
  }
}

/** @param ends what is to be ended is added to it as it begins, to be ended in the opposite order */
async function start(
  log: Logger,
  store: DescriptorStore,
  connection: Connection,
  ends: (() => void)[],
  stop: () => void,
): Promise<Bridge> {
  const { promise: closed, resolve: close } = Promise.withResolvers<string>();
  // What strangers bring about is counted: none of them fills the log.
  const limited = new LimitedLog(log);
  logFailures(log);
  const tree = makeTree(connection, limited);
  const signals = new BusSignals(tree);
  const settings = new Settings(log);
  const login1 = makeLogin1(log, connection, signals, settings, store);
  const { manager, devices, control, inhibitors, operations, power, sources, uaccess } = login1;
  signals.begin({ login1, ...addObjects(tree, login1) });

  ends.push(
    () => manager.stop(),
    () => devices.stop(),
    () => control.stop(),
  );
  manager.start();
  ends.push(() => inhibitors.stop());
  inhibitors.start();
  uaccess.refresh();
  connection.onNameLost((name) => control.nameLost(name));
  await connection.keepConnected(watchBus(log, limited, control, close));
  await control.restore();
  ends.push(
    watchUdev(
      () => devicesChanged(log, login1),
      (reason) => log.error(`changes in udev are not seen: ${reason}: it is tried again`),
    ),
  );
  await connection.requestName(BUS_NAME);
  signals.noteManager();
  signals.named();
  ends.push(
    () => operations.stop(),
    () => power.stop(),
    () => sources.stop(),
  );
  operations.start();
  power.start();
  sources.start();
  const varlink = serveVarlink(manager, inhibitors, log, limited);
  ends.push(() => varlink?.stop());
  await takeUnitName(connection, log);
  return { closed, stop, reload: () => reload(settings, log) };
}

/** login1's parts, and those that nobody calls. */
interface Parts extends Login1 {
  readonly sources: ActionSources;
  readonly uaccess: Uaccess;
}

function makeLogin1(
  log: Logger,
  connection: Connection,
  signals: BusSignals,
  settings: Settings,
  store: DescriptorStore,
): Parts {
  const manager = new Manager(log, signals, settings);
  const devices = new Devices(log, manager, deviceLookup, signals, store);
  const control = new Control(log, manager, devices, (name) => connection.caller(name));
  const uaccess = new Uaccess(log, manager);
  const { files } = manager;
  const inhibitors = new Inhibitors(log, settings, files, (names) => {
    signals.managerChanged(names);
    sources.changed();
  });
  const operations = new Operations(log, inhibitors, files, (way, active) => {
    if (!active) sources.awoke();
    signals.prepareFor(way, active);
  });
  const power = new Power(log, operations, settings, files, () =>
    signals.managerChanged(["ScheduledShutdown"]),
  );
  const sleeper = new Sleeper(log, operations, settings);
  const parts = { manager, settings, inhibitors, operations, power, sleeper };
  const sources = new ActionSources(log, parts, {
    secureAttentionKey: (seat) => signals.secureAttentionKey(manager.seat(seat)),
    lidChanged: () => signals.managerChanged(["LidClosed"]),
  });
  // Control first: what it gives up takes the devices along.
  manager.observers.push(control, devices, uaccess, sources, {
    // Until the next login nobody may want anything for hours.
    openChanged: () => settle(log),
  });
  const authorizer = new Authorizer(new Polkit(connection, log), manager);
  const afterReply: AfterReply = (task) => connection.afterwards(task);
  const { lid } = sources;
  return { ...parts, control, devices, uaccess, sources, authorizer, lid, afterReply };
}

function makeTree(connection: Connection, limited: LimitedLog): ObjectTree {
  connection.onBadMessage = (error, sender) => {
    const account = connection.accountOf(sender);
    limited.write("warning", account, `${account}: a message was dropped: ${error.message}`);
  };
  return new ObjectTree(connection, ({ member, sender }, error) => {
    const account = connection.accountOf(sender);
    limited.write("error", account, `${member} of ${account} failed: ${traceOf(error)}`);
  });
}

/** What is done when the bus goes and comes back. */
function watchBus(
  log: Logger,
  limited: LimitedLog,
  control: Control,
  close: (reason: string) => void,
) {
  return {
    lost: (reason: string) =>
      log.error(`the message bus is lost: ${reason}; it is connected to again`),
    failed: (reason: string) =>
      limited.write("warning", "the bus", `the bus is tried again: ${reason}`),
    back(sameBus: boolean) {
      log.info(`the message bus is there again${sameBus ? "" : ", started anew"}`);
      void control
        .checkControllers(sameBus)
        .catch((error) => log.error(`after the bus came back: ${messageOf(error)}`));
    },
    replaced: (name: string) => close(`another program has taken the bus name ${name}`),
  };
}

/** udev has written about devices. Each part sees to its own, whatever becomes of the others. */
/** @returns false if something could not be looked at (no descriptor is left, say) */
function devicesChanged(log: Logger, { manager, devices, uaccess, sources }: Parts): boolean {
  let isDone = true;
  const steps: (() => unknown)[] = [
    () => manager.refreshSeats(),
    () => devices.refresh(),
    () => uaccess.refresh(),
    () => sources.devicesChanged(),
  ];
  for (const step of steps) {
    try {
      if (step() === false) isDone = false;
    } catch (error) {
      isDone = false;
      log.error(`after a change in udev: ${messageOf(error)}: it is looked at again`);
    }
  }
  return isDone;
}

function serveVarlink(
  manager: Manager,
  inhibitors: Inhibitors,
  log: Logger,
  limited: LimitedLog,
): VarlinkServer | undefined {
  const info = {
    vendor: "The LainOS Project",
    product: "Protocol 7 (lainos-dbus-bridge)",
    version,
    url: "https://github.com/The-LainOS-Project/lainos-layer-02",
  };
  const service = new Service(info, [loginInterface(manager, inhibitors)], ({ method }, error) =>
    limited.write("error", method, `${method} by varlink failed: ${traceOf(error)}`),
  );
  try {
    // Who has the name is the only logind, so whatever socket is there is nobody's.
    return new VarlinkServer(LOGIN_SOCKET, service, {
      onDebug: (message) => log.debug(message),
      onError: (message) => log.error(`${LOGIN_SOCKET}: ${message}`),
    });
  } catch (error) {
    // Without the socket pam_systemd takes the bus.
    log.error(`no varlink: ${messageOf(error)}`);
    return undefined;
  }
}

async function takeUnitName(connection: Connection, log: Logger): Promise<void> {
  try {
    await connection.requestName(UNIT_BUS_NAME);
  } catch (error) {
    // Only loginctl's list of processes needs it.
    log.warning(`loginctl cannot list a session's processes: ${messageOf(error)}`);
  }
}

function reload(settings: Settings, log: Logger): void {
  try {
    settings.reload();
  } catch (error) {
    // A signal has nobody to answer, and what was in force stays so.
    log.error(`the configuration could not be read again: ${messageOf(error)}`);
  }
}
