/** systemd-notify: sd_notify(3) for shell scripts; see systemd-notify(1). */
import { lstatSync, readlinkSync } from "node:fs";
import {
  type GetoptOption,
  getopt,
  OptionError,
  restoreOpenFilesLimit,
  version,
} from "../cli/index.ts";
import {
  closeOnExecFrom,
  type Fd,
  messageOf,
  now,
  processStatus,
  resetSignal,
  userById,
  userByName,
} from "../linux/index.ts";
import { notifySocket, sendNotification, waitForBarrier } from "./send.ts";

export const NOTIFY_OPTIONS: readonly GetoptOption[] = [
  { key: "help", long: "help", short: "h" },
  { key: "version", long: "version" },
  { key: "ready", long: "ready" },
  { key: "reloading", long: "reloading" },
  { key: "stopping", long: "stopping" },
  { key: "pid", long: "pid", value: "optional" },
  { key: "uid", long: "uid", value: "required" },
  { key: "status", long: "status", value: "required" },
  { key: "booted", long: "booted" },
  { key: "no-block", long: "no-block" },
  { key: "exec", long: "exec" },
  { key: "fd", long: "fd", value: "required" },
  { key: "fdname", long: "fdname", value: "required" },
];

export const NOTIFY_HELP = `systemd-notify [OPTIONS...] [NAME=VALUE...]
systemd-notify [OPTIONS...] --exec [NAME=VALUE...] ; COMMAND [ARGUMENT...]

Tells the service manager, at $NOTIFY_SOCKET, how a service is.

  -h --help         print this
     --version      print the version
     --ready        it has started, or has read its configuration again
     --reloading    it reads its configuration again
     --stopping     it is about to end
     --pid[=PID]    its main process: a number, auto, parent or self
     --uid=USER     say it in the name of this user
     --status=TEXT  what it is doing, for people
     --booted       say nothing, and exit with 0 if systemd's /run/systemd/system
                    is there
     --no-block     do not wait until it has been handled
     --exec         execute the command after the ; in place of this one
     --fd=FD        hand over this descriptor to be kept
     --fdname=NAME  what the descriptors are to be kept as
`;

/** What ends the command early, in one line for standard error. */
class NotifyError extends Error {
  override name = "NotifyError";
}

/**
 * Runs the command.
 *
 * @returns the exit status: 1 for whatever goes wrong, also a wrong command line, as systemd's.
 *   With --exec it does not come back.
 */
export async function systemdNotify(args: readonly string[]): Promise<number> {
  try {
    return run(args);
  } catch (error) {
    if (error instanceof OptionError) {
      process.stderr.write(`systemd-notify: ${error.message}\n`);
    } else if (error instanceof NotifyError) {
      process.stderr.write(`${error.message}\n`);
    } else throw error;
    return 1;
  }
}

interface Options {
  flags: Set<string>;
  pid: number | undefined;
  status: string | undefined;
  user: { uid: number; gid: number | undefined } | undefined;
  fds: Fd[];
  fdname: string | undefined;
  words: string[];
}

function parse(args: readonly string[]): Options | "help" | "version" {
  const options: Options = {
    flags: new Set(),
    pid: undefined,
    status: undefined,
    user: undefined,
    fds: [],
    fdname: undefined,
    words: [],
  };
  for (const item of getopt(NOTIFY_OPTIONS, args)) {
    if ("operand" in item) {
      // What is to be executed has options of its own.
      if (item.operand === ";" && options.flags.has("exec")) {
        options.words.push(...args.slice(item.at));
        break;
      }
      options.words.push(item.operand);
      continue;
    }
    const value = item.value ?? "";
    switch (item.key) {
      case "help":
      case "version":
        return item.key;
      case "pid":
        options.pid = parsePid(value);
        break;
      case "uid":
        options.user = parseUser(value);
        break;
      case "status":
        options.status = value;
        break;
      case "fd":
        options.fds.push(parseDescriptor(value, options.fds));
        break;
      case "fdname":
        if (!/^[\x20-\x39\x3b-\x7e]{1,255}$/.test(value)) {
          throw new NotifyError(`File descriptor name invalid: ${value}`);
        }
        options.fdname = value;
        break;
      default:
        options.flags.add(item.key);
    }
  }
  return options;
}

/** process.ppid may be an older answer. */
const parent = () => processStatus(process.pid)?.parent ?? process.ppid;

/** Who a script speaks for: whoever started this command, unless that is a service manager. */
function speaker(): number {
  const pid = parent();
  const isManager = pid <= 1 || String(pid) === process.env.MANAGERPID;
  return isManager ? process.pid : pid;
}

function parsePid(text: string): number {
  if (text === "" || text === "auto") return speaker();
  if (text === "parent") return parent();
  if (text === "self") return process.pid;
  if (!/^\d{1,10}$/.test(text) || Number(text) === 0 || Number(text) > 0x7fffffff) {
    throw new NotifyError(`Failed to parse PID ${text}.`);
  }
  return Number(text);
}

function parseUser(text: string): Options["user"] {
  const isNumber = /^\d{1,10}$/.test(text);
  const user = isNumber ? userById(Number(text)) : userByName(text);
  if (user) return { uid: user.uid, gid: user.gid };
  // A number needs nobody who has it.
  if (isNumber && Number(text) < 0xffffffff) return { uid: Number(text), gid: undefined };
  throw new NotifyError(`Can't resolve user ${text}: Invalid argument`);
}

/** A descriptor that was handed down to this process. */
function parseDescriptor(text: string, taken: readonly Fd[]): Fd {
  if (!/^\d{1,9}$/.test(text)) {
    throw new NotifyError(`Failed to parse file descriptor: ${text}`);
  }
  const fd = Number(text);
  let target: string | undefined;
  try {
    target = readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // Not open: there is no other reason for one's own.
  }
  // The two that Bun opens for itself have the lowest free numbers.
  const isOurs = /^anon_inode:\[event(fd|poll)\]$/.test(target ?? "");
  if (target === undefined || isOurs || (fd > 2 && taken.includes(fd))) {
    throw new NotifyError(
      `Specified file descriptor '${fd}' not passed or specified more than once`,
    );
  }
  return fd;
}

function run(args: readonly string[]): number {
  const options = parse(args);
  if (options === "help" || options === "version") {
    process.stdout.write(options === "help" ? NOTIFY_HELP : `systemd-notify ${version}\n`);
    return 0;
  }
  const { flags, pid, status, fds, fdname } = options;
  if (fdname !== undefined && fds.length === 0) {
    throw new NotifyError("No file descriptors passed, but --fdname= set, refusing.");
  }
  const { given, command } = splitCommand(options);
  const assignments = [
    ...(flags.has("reloading") ? ["RELOADING=1", `MONOTONIC_USEC=${now().monotonic}`] : []),
    ...(flags.has("ready") ? ["READY=1"] : []),
    ...(flags.has("stopping") ? ["STOPPING=1"] : []),
    ...(status === undefined ? [] : [`STATUS=${status}`]),
    ...(pid === undefined ? [] : [`MAINPID=${pid}`]),
    ...(fds.length > 0 ? ["FDSTORE=1"] : []),
    ...(fdname === undefined ? [] : [`FDNAME=${fdname}`]),
    ...given,
  ];
  if (flags.has("booted")) return isBooted() ? 0 : 1;
  if (assignments.length === 0) {
    if (command) throw new NotifyError("No notify message specified while --exec, refusing.");
    process.stdout.write(NOTIFY_HELP);
    return 1;
  }
  tell(options, assignments);
  return command ? execute(command) : 0;
}

/** The assignments in the words, and the command behind the ; that --exec wants. */
function splitCommand({ flags, words }: Options): { given: string[]; command?: string[] } {
  if (!flags.has("exec")) return { given: words };
  const at = words.indexOf(";");
  if (at < 0) {
    throw new NotifyError("If --exec is used argument list must contain ';' separator, refusing.");
  }
  if (at + 1 === words.length) {
    throw new NotifyError("Empty command line specified after ';' separator, refusing.");
  }
  return { given: words.slice(0, at), command: words.slice(at + 1) };
}

/** sd_booted(3). */
function isBooted(): boolean {
  return lstatSync("/run/systemd/system", { throwIfNoEntry: false })?.isDirectory() ?? false;
}

const reasonOf = (error: unknown) => messageOf(error);

function tell({ flags, pid, user, fds }: Options, assignments: readonly string[]): void {
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const { uid, gid = own.gid } = user ?? own;
  if (process.geteuid?.() !== 0 && (uid !== own.uid || gid !== own.gid)) {
    throw new NotifyError(`Failed to change to user ${uid}: Operation not permitted`);
  }
  let socket: string | undefined;
  try {
    socket = notifySocket();
    if (socket !== undefined) {
      sendNotification(socket, assignments, fds, { pid: pid ?? speaker(), uid, gid });
    }
  } catch (error) {
    throw new NotifyError(`Failed to notify init system: ${reasonOf(error)}`);
  }
  if (socket === undefined) {
    throw new NotifyError("No status data could be sent: $NOTIFY_SOCKET was not set");
  }
  if (flags.has("no-block")) return;
  try {
    if (waitForBarrier(socket, { pid: process.pid, uid, gid })) return;
  } catch (error) {
    throw new NotifyError(`Failed to invoke barrier: ${reasonOf(error)}`);
  }
  throw new NotifyError("Failed to invoke barrier: Connection timed out");
}

/** Becomes the command, which gets what this process got and nothing of Bun's. */
function execute(command: string[]): never {
  const [name = ""] = command;
  const program = Bun.which(name);
  if (!program) throw new NotifyError(`Failed to execute command line: ${name} is not there`);
  closeOnExecFrom(3);
  restoreOpenFilesLimit();
  // Bun leaves these two ignored, and an ignored signal stays so through exec.
  resetSignal("SIGPIPE");
  resetSignal("SIGXFSZ");
  if (!process.execve) throw new NotifyError("this Bun has no process.execve: build with 1.4.5");
  // It would warn that it is experimental, which is nothing for whoever runs a service.
  process.emitWarning = () => {};
  try {
    return process.execve(program, command, process.env as Record<string, string>);
  } catch (error) {
    throw new NotifyError(`Failed to execute command line: ${reasonOf(error)}`);
  }
}
