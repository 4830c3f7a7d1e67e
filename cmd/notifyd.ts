/** lainos-notifyd: the receiving end of sd_notify(3), /run/systemd/notify, and what was said there. */
import { defineCommand } from "citty";
import {
  announceReady,
  createLogger,
  DEFAULT_SYSLOG,
  logFailures,
  onOutsideEnded,
  PASSED_ON,
  readyDescriptor,
  readyFdOption,
  run,
  settle,
  syslogSink,
  UsageFailure,
} from "../lib/cli/index.ts";

const NAME = "lainos-notifyd";

const stateOption = {
  type: "string",
  default: "/run/lainos/notify/state.json",
  valueHint: "PATH",
  description: "the file that has the senders' state",
} as const;

const status = defineCommand({
  meta: { name: "status", description: "Shows who said what of itself" },
  args: {
    service: { type: "positional", required: false, description: "only this service" },
    json: { type: "boolean", description: "as JSON, one line" },
    watch: { type: "boolean", description: "print it again whenever it changes" },
    state: stateOption,
  },
  async run({ args }) {
    const { statusText, watchStatus } = await import("../lib/notify/index.ts");
    const print = (text: string) => process.stdout.write(`${text}\n`);
    const { state, service, json = false } = args;
    if (!args.watch) return void print(statusText(state, service, json));
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(0));
    // The reader, such as head, may have had enough.
    process.stdout.on("error", () => process.exit(0));
    await watchStatus(state, service, json, (text) => print(json ? text : `${text}\n`));
  },
});

const wait = defineCommand({
  meta: { name: "wait", description: "Waits until a service has said READY=1" },
  args: {
    service: { type: "positional", required: true, description: "the service" },
    ready: { type: "boolean", description: "until it is ready, which is the default" },
    timeout: {
      type: "string",
      default: "15",
      valueHint: "SECONDS",
      description: "how long; the service may ask for more by EXTEND_TIMEOUT_USEC",
    },
    state: stateOption,
  },
  async run({ args }) {
    const seconds = Number(args.timeout);
    if (!/^\d{1,6}(\.\d{1,3})?$/.test(args.timeout) || seconds === 0) {
      throw new UsageFailure(`--timeout ${args.timeout}: must be a number of seconds above 0`);
    }
    const { waitForReady } = await import("../lib/notify/index.ts");
    await waitForReady(args.state, args.service, seconds);
  },
});

const DEFAULT_SOCKET = "/run/systemd/notify";
const DEFAULT_STORE = "/run/lainos/fdstore";

const sockets = {
  socket: {
    type: "string",
    default: DEFAULT_SOCKET,
    valueHint: "PATH",
    description: "the socket to receive at",
  },
  store: {
    type: "string",
    default: DEFAULT_STORE,
    valueHint: "PATH",
    description: "the socket at which services get back the descriptors that they left",
  },
} as const;

const listen = defineCommand({
  meta: { name: "listen", description: "Opens the sockets, and starts a command with them" },
  args: {
    ...sockets,
    keep: {
      type: "string",
      default: "",
      valueHint: "N,...",
      description: "descriptors to pass on as well",
    },
    [PASSED_ON]: {
      type: "positional",
      required: false,
      description: "the command and its arguments, which find the sockets by sd_listen_fds(3)",
    },
  },
  async run({ args, data }) {
    const { listenAndExecute } = await import("../lib/notify/index.ts");
    if (!/^(\d(,\d)*)?$/.test(args.keep)) {
      throw new UsageFailure(`--keep ${args.keep}: must be numbers of descriptors below 10`);
    }
    const kept = args.keep.split(",").filter(Boolean).map(Number);
    listenAndExecute({ socket: args.socket, store: args.store, kept }, data as string[]);
  },
});

export const command = defineCommand({
  meta: { name: NAME, description: "Receives what services say of themselves by sd_notify(3)" },
  args: {
    ...sockets,
    state: stateOption,
    syslog: {
      type: "string",
      default: DEFAULT_SYSLOG,
      valueHint: "PATH",
      description: "the system log's socket; lines that it does not take go to standard error",
    },
    root: {
      type: "string",
      default: "/",
      valueHint: "PATH",
      description: "where etc/init.d, etc/conf.d and run/openrc are",
    },
    readyFd: readyFdOption,
    verbose: { type: "boolean", description: "log barriers and signs of life too" },
  },
  subCommands: { status, wait, listen },
  async run({ args }) {
    const ready = readyDescriptor(args.readyFd);
    const log = createLogger(NAME, args.verbose, syslogSink(NAME, args.syslog));
    logFailures(log);
    const { passedSockets, startDaemon } = await import("../lib/notify/index.ts");
    const { socket, store, state, root } = args;
    const passed = passedSockets();
    if (passed && (socket !== DEFAULT_SOCKET || store !== DEFAULT_STORE)) {
      log.warning("--socket and --store have no effect: the sockets were open before the start");
    }
    const end = startDaemon({ log, socket, store, state, root, passed });
    const stop = () => {
      process.off("SIGTERM", stop).off("SIGINT", stop);
      endWatch();
      end();
    };
    const endWatch = onOutsideEnded(() => {
      log.error("what works outside of the sandbox has ended");
      process.exitCode = 1;
      stop();
    });
    process.on("SIGTERM", stop).on("SIGINT", stop);
    announceReady(ready);
    log.info(`receiving at ${args.socket}`);
    settle(log);
  },
});

if (import.meta.main) await run(command);
