/** systemd-notify: sd_notify(3) for shell scripts; see systemd-notify(1). */
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import {
  asScript,
  findExecutable,
  type GetoptOption,
  getopt,
  OptionError,
  parseInteger,
  restoreOpenFilesLimit,
  say,
  version,
} from "../../cli/index.ts";
import {
  type Credentials,
  errno,
  execute,
  type Fd,
  hasCode,
  now,
  resetSignal,
  SystemError,
  userById,
  userByName,
} from "../../linux/index.ts";
import { isDescriptorName } from "../protocol/notification.ts";
import { notifySocket, sendNotification, waitForBarrier } from "../protocol/send.ts";
import { forkAndWait } from "./fork.ts";
import { NotifyError, refusal } from "./notify-error.ts";
import { mainProcess, parsePid, speaker } from "./speaker.ts";

/** In the order of systemd's --help, in which the ones that a cut name fits are named. */
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
  { key: "fork", long: "fork" },
  { key: "quiet", long: "quiet", short: "q" },
];

export const NOTIFY_HELP = `systemd-notify [OPTIONS...] [NAME=VALUE...]
systemd-notify [OPTIONS...] --exec [NAME=VALUE...] ; -- COMMAND [ARGUMENT...]
systemd-notify [OPTIONS...] --fork -- COMMAND [ARGUMENT...]

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
     --fork         start the command, print its pid, and wait until it says
                    that it is ready
  -q --quiet        do not print the pid
`;

/** What the run ends with where a service manager has been told what it asked for, and needs no more. */
const TOLD = "told";

/**
 * Runs the command. As with all of systemd's, the service manager is told how it ended, unless it
 * was told what the command line says.
 *
 * @returns the exit status: 1 for whatever goes wrong, also a wrong command line, as systemd's, and
 *   the command's own for --fork. With --exec it does not come back.
 */
export async function systemdNotify(args: readonly string[]): Promise<number> {
  const { getuid, getgid } = process;
  const self = { pid: process.pid, uid: getuid?.() ?? 0, gid: getgid?.() ?? 0 };
  try {
    const ended = await run(args, self);
    if (ended === TOLD) return 0;
    tellManager(`EXIT_STATUS=${ended}`, self);
    return ended;
  } catch (error) {
    if (error instanceof OptionError) say("error", `systemd-notify: ${error.message}`);
    else if (error instanceof NotifyError) say("error", error.message);
    else throw error;
    const number = error instanceof NotifyError ? error.errno : errno.EINVAL;
    tellManager(`ERRNO=${number}`, self);
    tellManager("EXIT_STATUS=1", self);
    return 1;
  }
}

/** Says something of this command itself, if there is anybody to say it to. */
function tellManager(assignment: string, self: Credentials): void {
  try {
    const socket = notifySocket();
    if (socket !== undefined) sendNotification(socket, [assignment], [], self);
  } catch {
    // Nobody listens; the exit status says the same.
  }
}

interface Options {
  flags: Set<string>;
  /** The last of --booted and --fork. */
  action: "notify" | "booted" | "fork";
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
    action: "notify",
    pid: undefined,
    status: undefined,
    user: undefined,
    fds: [],
    fdname: undefined,
    words: [],
  };
  for (const item of getopt(NOTIFY_OPTIONS, args)) {
    if ("operand" in item) {
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
        if (value !== "" && !isDescriptorName(value)) {
          throw refusal(`File descriptor name invalid: ${value}`);
        }
        options.fdname = value;
        break;
      case "booted":
      case "fork":
        options.action = item.key;
        options.flags.add(item.key);
        break;
      default:
        options.flags.add(item.key);
    }
  }
  return options;
}

function parseUser(text: string): Options["user"] {
  const isNumber = /^(0|[1-9]\d{0,9})$/.test(text);
  const what = `Can't resolve user ${text}`;
  if (isNumber && Number(text) === 0xffffffff) throw NotifyError.of(what, errno.ENXIO);
  const user = isNumber ? userById(Number(text)) : text === "" ? undefined : userByName(text);
  if (user) return { uid: user.uid, gid: user.gid };
  // A number needs nobody who has it.
  if (isNumber && Number(text) < 0xffffffff) return { uid: Number(text), gid: undefined };
  throw NotifyError.of(what, errno.EINVAL);
}

/** A descriptor that was handed down to this process. */
function parseDescriptor(text: string, taken: readonly Fd[]): Fd {
  const fd = parseInteger(text);
  const wrong = `Failed to parse file descriptor: ${text}`;
  if (fd === undefined) throw new NotifyError(wrong, errno.EINVAL);
  if (Math.abs(fd) > 0x7fffffff) throw new NotifyError(wrong, errno.ERANGE);
  if (fd < 0) throw new NotifyError(wrong, errno.EBADF);
  const target = targetOf(fd);
  if (target === undefined || isBuns(target) || (fd > 2 && taken.includes(fd))) {
    throw NotifyError.of(
      `Specified file descriptor '${fd}' not passed or specified more than once`,
      errno.ENOENT,
    );
  }
  return fd;
}

async function run(args: readonly string[], self: Credentials): Promise<number | typeof TOLD> {
  const options = parse(args);
  if (options === "help" || options === "version") {
    process.stdout.write(options === "help" ? NOTIFY_HELP : `systemd-notify ${version}\n`);
    return 0;
  }
  const { flags, action, pid, status, fds, fdname, words } = options;
  if (action === "fork" && words.length === 0) {
    throw refusal("--fork requires a command to be specified, refusing.");
  }
  if (action === "booted" && words.length > 0) {
    throw refusal("--booted takes no parameters, refusing.");
  }
  const said = [
    ...(flags.has("reloading") ? ["RELOADING=1", `MONOTONIC_USEC=${now().monotonic}`] : []),
    ...(flags.has("ready") ? ["READY=1"] : []),
    ...(flags.has("stopping") ? ["STOPPING=1"] : []),
    ...(status === undefined ? [] : [`STATUS=${status}`]),
    ...(pid === undefined ? [] : mainProcess(pid)),
    ...(fds.length > 0 ? ["FDSTORE=1"] : []),
  ];
  if (action !== "notify") {
    if (said.length > 0) {
      throw refusal(
        "--ready, --reloading, --stopping, --pid=, --status=, --fd= may not be combined with --fork or --booted, refusing.",
      );
    }
    return action === "fork" ? forkAndWait(words, flags.has("quiet")) : isBooted() ? 0 : 1;
  }
  if (fdname !== undefined && fds.length === 0) {
    throw refusal("No file descriptors passed, but --fdname= used, refusing.");
  }
  const { given, command } = splitCommand(options);
  const name = fdname === undefined ? [] : [`FDNAME=${fdname}`];
  const assignments = merge([...said, ...name], given);
  if (assignments.length === 0) {
    throw refusal(
      command
        ? "No notify message specified with --exec, refusing."
        : "Nothing to notify about was specified.",
    );
  }
  const others = fds.length > 0 ? inherited().filter((fd) => !fds.includes(fd)).length : 0;
  if (others > 0) {
    say("warning", `Warning: ${others} more file descriptors passed than referenced with --fd=.`);
  }
  tell(options, assignments, self);
  // As with systemd's, the command gets none of them once some were handed over.
  return command ? become(command, fds.length > 0 ? [] : inherited()) : TOLD;
}

/** The assignments in the words, and the command behind the ; that --exec wants. */
function splitCommand({ flags, words }: Options): { given: string[]; command?: string[] } {
  if (!flags.has("exec")) return { given: words };
  const at = words.indexOf(";");
  if (at < 0) {
    throw refusal("If --exec is used, argument list must contain ';' separator, refusing.");
  }
  if (at + 1 === words.length) {
    throw refusal("Empty command line specified after ';' separator, refusing.");
  }
  return { given: words.slice(0, at), command: words.slice(at + 1) };
}

/** As in an environment, a name counts once: the last word on it stands where the first did. */
function merge(said: readonly string[], given: readonly string[]): string[] {
  let merged: string[] = [];
  for (const word of [...said, ...given]) {
    // A name without a value takes the place of one that has one.
    const name = word.includes("=") ? word.slice(0, word.indexOf("=") + 1) : `${word}=`;
    const isSame = (other: string) => other === word || other.startsWith(name);
    const at = merged.findIndex(isSame);
    if (at < 0) merged.push(word);
    else
      merged = merged.flatMap((other, index) => (index === at ? word : isSame(other) ? [] : other));
  }
  return merged;
}

/** sd_booted(3). */
function isBooted(): boolean {
  return lstatSync("/run/systemd/system", { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Sends what there is to say. From then on this process speaks as the user it was told to be. */
function tell({ flags, pid, user, fds }: Options, assignments: string[], self: Credentials): void {
  const { uid = self.uid, gid = self.gid } = user ?? {};
  if (process.geteuid?.() !== 0) {
    if (gid !== self.gid) throw NotifyError.of("Failed to change GID", errno.EPERM);
    if (uid !== self.uid) throw NotifyError.of("Failed to change UID", errno.EPERM);
  }
  Object.assign(self, { uid, gid });
  const sender = { pid: pid ?? speaker(), uid, gid };
  let socket: string | undefined;
  try {
    socket = notifySocket();
    if (socket !== undefined) sendNotification(socket, assignments, fds, sender);
  } catch (error) {
    throw NotifyError.from("Failed to notify service manager", error);
  }
  if (socket === undefined) {
    throw new NotifyError(
      "No status data could be sent: $NOTIFY_SOCKET was not set",
      errno.EOPNOTSUPP,
    );
  }
  if (flags.has("no-block")) return;
  try {
    if (waitForBarrier(socket, sender)) return;
  } catch (error) {
    throw NotifyError.from("Failed to invoke barrier", error);
  }
  throw NotifyError.of("Failed to invoke barrier", errno.ETIMEDOUT);
}

/**
 * Becomes the command, which gets what this process got and nothing of Bun's.
 *
 * @param kept file descriptors that it gets besides standard input, output and error
 */
function become(command: readonly string[], kept: readonly Fd[]): never {
  const [name = "", ...args] = command;
  const program = findExecutable(name);
  const failed = (number: number) =>
    new NotifyError(`Failed to execute command line: ${command.join(" ")}`, number);
  if (typeof program === "number") throw failed(program);
  restoreOpenFilesLimit();
  // Bun leaves these two ignored, and an ignored signal stays so through exec.
  resetSignal("SIGPIPE");
  resetSignal("SIGXFSZ");
  try {
    try {
      return execute(program, command, process.env, { kept });
    } catch (error) {
      if (!hasCode(error, "ENOEXEC")) throw error;
      const [shell = "", ...words] = asScript(program, args);
      return execute(shell, [shell, ...words], process.env, { kept });
    }
  } catch (error) {
    throw error instanceof SystemError ? failed(error.errno) : error;
  }
}

/** What this process was handed: all that is open but what Bun has opened for itself. */
function inherited(): Fd[] {
  return readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => {
      const target = fd > 2 ? targetOf(fd) : undefined;
      return target !== undefined && !isBuns(target);
    });
}

/** What a descriptor of this process is of; undefined if it is not open. */
function targetOf(fd: Fd): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // There is no other reason for one's own.
    return undefined;
  }
}

/** Bun opens two of these, at the lowest free numbers. */
const isBuns = (target: string) => /^anon_inode:\[event(fd|poll)\]$/.test(target);
