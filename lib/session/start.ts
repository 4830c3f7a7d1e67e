/** The session start, from a login to the desktop. */
import { lstatSync } from "node:fs";
import { basename } from "node:path";
import { Failure, type Logger, restoreOpenFilesLimit } from "../cli/index.ts";
import { userById } from "../linux/index.ts";
import { ensureSessionBus, findSessionBus, spawnBound } from "./bus.ts";
import { type Desktop, type Environment, findDesktop, findExecutable } from "./desktop.ts";
import {
  activationVariables,
  desktopEnvironment,
  type EnvironmentParts,
  sessionVariables,
} from "./environment.ts";
import { factsFromTraces, type SessionFacts, type SessionSource } from "./facts.ts";
import { handOver, parentNow } from "./hand-over.ts";
import { localeVariables } from "./locale.ts";
import { needsSoftwareRenderer } from "./renderer.ts";
import { checkRuntimeFolder } from "./runtime-folder.ts";

const NOTIFY_SOCKET = "/run/systemd/notify";
const AUDIO = "/usr/libexec/lainos/lainos-audio-init";

/** How long login1 has to say which session this is, in milliseconds, as at the login: an overloaded machine is slow. */
const LOOK_UP_LIMIT = 5000;
/** How long dbus-update-activation-environment may take, in milliseconds. */
const UPDATE_LIMIT = 2000;

export interface StartOptions {
  /** The desktop asked for; undefined to find one. */
  desktop: string | undefined;
  /** What the desktop is called with beyond its own arguments. */
  args: readonly string[];
  /** Whether to start lainos-audio-init, where it is installed. */
  audio: boolean;
  /** Whether to print what would be set and executed instead. */
  printEnvironment: boolean;
  log: Logger;
  /** Who knows the session; by default login1 on the system bus. */
  source?: SessionSource;
  /** Where the audio start is; by default in /usr/libexec/lainos. */
  audioPath?: string;
}

/**
 * Starts the desktop in this process. It only returns after printing, if that was asked for.
 *
 * @throws {Failure} as root, without a desktop, without a runtime folder, or if the desktop cannot
 *   be executed; whatever else is missing is a warning, and the login goes on
 */
export async function startSession(options: StartOptions): Promise<void> {
  const { log } = options;
  const parent = parentNow();
  const uid = process.getuid?.() ?? 0;
  if (uid === 0 || process.geteuid?.() === 0) {
    throw new Failure(
      "a desktop does not run as root, where every program in it could change the system: " +
        "log in as an ordinary user, and use doas for what needs root",
    );
  }
  const inherited = process.env;
  const desktop = findDesktop(options.desktop, inherited);
  const runtimeFolder = checkRuntimeFolder(inherited.XDG_RUNTIME_DIR, uid);
  const parts: EnvironmentParts = {
    inherited,
    desktop,
    facts: await findFacts(
      uid,
      log,
      options.source,
      options.printEnvironment ? undefined : desktop,
    ),
    user: userById(uid),
    runtimeFolder,
    busAddress: undefined,
    notifySocket: isSocket(NOTIFY_SOCKET) ? NOTIFY_SOCKET : undefined,
    softwareRenderer: needsSoftwareRenderer(),
    locale: findLocale(log),
  };
  const argv = [...desktop.argv, ...options.args];
  const { addressOfPath } = await import("../dbus/index.ts");
  const inheritedBus = inherited.DBUS_SESSION_BUS_ADDRESS;

  if (options.printEnvironment) {
    const bus = await findSessionBus(inheritedBus, runtimeFolder, uid);
    parts.busAddress = bus?.address ?? addressOfPath(`${runtimeFolder}/bus`);
    process.stdout.write(describe(parts, argv, bus === undefined));
    return;
  }

  // Before anything is started, so that all of it inherits the usual limit.
  restoreOpenFilesLimit();
  try {
    // A service that a new bus starts is to know the bus too.
    const address = addressOfPath(`${runtimeFolder}/bus`);
    const environment = desktopEnvironment({ ...parts, busAddress: address });
    const bus = await ensureSessionBus(inheritedBus, runtimeFolder, uid, environment);
    parts.busAddress = bus.address;
  } catch (error) {
    log.warning(`going on without a session bus: ${(error as Error).message}`);
  }
  const environment = desktopEnvironment(parts);
  if (parts.busAddress !== undefined) await updateActivation(environment, log);
  if (options.audio) startAudio(options.audioPath ?? AUDIO, environment, log);
  handOver(desktop.path, argv, environment, parent);
}

/**
 * What login1 says of this process's session, else what can be read of it.
 * login1 is told of `desktop`, if one is about to start.
 */
async function findFacts(
  uid: number,
  log: Logger,
  given: SessionSource | undefined,
  desktop: Desktop | undefined,
): Promise<SessionFacts | undefined> {
  let reason: string;
  try {
    const facts = given ? await given.lookUp(process.pid) : await askLogin1(uid, log, desktop);
    if (facts?.uid === uid) return facts;
    reason = facts
      ? `this process is in the session of uid ${facts.uid}`
      : "login1 knows no session of this process";
  } catch (error) {
    reason = (error as Error).message;
  }
  const facts = factsFromTraces({ uid, environment: process.env });
  const what = facts ? `taking session ${facts.id} from its traces` : "going on without a session";
  log.warning(`${what}: ${reason} (rc-service lainos-dbus-bridge status)`);
  return facts;
}

async function askLogin1(
  uid: number,
  log: Logger,
  desktop: Desktop | undefined,
): Promise<SessionFacts | undefined> {
  // D-Bus is loaded here and not above, so that --version and --help do without.
  const { Login1Client } = await import("./login1-client.ts");
  const client = new Login1Client(LOOK_UP_LIMIT);
  try {
    const facts = await client.lookUp(process.pid);
    if (facts?.uid !== uid || !desktop) return facts;
    try {
      await client.announce(desktop, process.env.DISPLAY ?? "");
    } catch (error) {
      // Only what loginctl shows is wrong then; the session is found.
      log.warning(`login1 does not learn that ${desktop.name} starts: ${(error as Error).message}`);
    }
    return facts;
  } finally {
    client.close();
  }
}

function findLocale(log: Logger): Environment {
  try {
    return localeVariables();
  } catch (error) {
    log.warning(`going on without the system's locale: ${(error as Error).message}`);
    return {};
  }
}

function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
}

/** Tells the bus what the services that it starts are to inherit; it may be older than this login. */
async function updateActivation(environment: Record<string, string>, log: Logger): Promise<void> {
  const tool = findExecutable("dbus-update-activation-environment", environment.PATH);
  if (tool === undefined) return;
  const child = Bun.spawn([tool, ...activationVariables(environment)], {
    env: environment,
    stdio: ["ignore", "ignore", "pipe"],
    timeout: UPDATE_LIMIT,
  });
  const [status, errors] = await Promise.all([child.exited, child.stderr.text()]);
  if (status === 0) return;
  const reason = errors.trim().split("\n").at(-1) || `it ended with status ${status}`;
  log.warning(`services of the session bus get an old environment: ${basename(tool)}: ${reason}`);
}

/** Starts the sound, which comes up beside the desktop and ends with it. */
function startAudio(path: string, environment: Record<string, string>, log: Logger): void {
  if (findExecutable(path, undefined) === undefined) return;
  try {
    const child = spawnBound([path], environment, ["ignore", "inherit", "inherit"]);
    child.on("error", (error) => log.warning(`no sound: ${path}: ${error.message}`));
    child.unref();
  } catch (error) {
    log.warning(`no sound: ${(error as Error).message}`);
  }
}

/** The lines of --print-env: a shell can read them. */
function describe(parts: EnvironmentParts, argv: readonly string[], startsBus: boolean): string {
  const quote = (text: string) =>
    /^[A-Za-z0-9_/.:=,@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  const environment = desktopEnvironment(parts);
  const set = Object.entries(sessionVariables(parts)).map(([name, value]) =>
    value === undefined ? `unset ${name}` : `export ${name}=${quote(value)}`,
  );
  const dropped = Object.keys(parts.inherited)
    .filter((name) => !(name in environment) && !(name in sessionVariables(parts)))
    .map((name) => `unset ${name}`);
  const bus = startsBus ? ["# a session bus would be started at DBUS_SESSION_BUS_ADDRESS"] : [];
  const words = [parts.desktop.path, ...argv.slice(1)].map(quote).join(" ");
  return `${[...set, ...dropped.sort(), ...bus, `exec ${words}`].join("\n")}\n`;
}
