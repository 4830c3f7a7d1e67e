/** `bun run live`: the test system for people. See docs/live.md. */
import { type ArgsDef, type CommandDef, defineCommand, renderUsage, runCommand } from "citty";
import { BuildError } from "../build.ts";
import { HostError, requireRoot } from "../host.ts";
import { PackageError } from "../package.ts";
import { destroy, runningInit } from "./container.ts";
import { attachLive, screenshot } from "./index.ts";
import { Interrupted, onInterrupt } from "./interrupt.ts";
import { start } from "./start.ts";
import { checkName, liveNames } from "./state.ts";

const DEFAULT_NAME = "lainos";

/** Wrong usage: exit status 2. */
class UsageError extends Error {
  override name = "UsageError";
}

const nameArgument = {
  type: "string",
  description: "which test system",
  valueHint: "NAME",
  default: DEFAULT_NAME,
} as const;

const startCommand = defineCommand({
  meta: { name: "start", description: "build, boot, show the session, open a shell (the default)" },
  args: {
    name: nameArgument,
    keep: { type: "boolean", description: "leave it running" },
    json: { type: "boolean", description: "print one JSON object and no progress" },
  },
  async run({ args }) {
    const options = { name: args.name, keep: args.keep ?? false, json: args.json ?? false };
    process.exitCode = await onInterrupt((signal) => start({ ...options, signal }));
  },
});

const stopCommand = defineCommand({
  meta: { name: "stop", description: "end a test system and remove all of it" },
  args: { name: nameArgument, all: { type: "boolean", description: "every one" } },
  async run({ args }) {
    const names = args.all ? await liveNames() : [checkName(args.name)];
    for (const name of names) await destroy(name);
  },
});

const statusCommand = defineCommand({
  meta: { name: "status", description: "list the test systems" },
  async run() {
    const names = await liveNames();
    if (names.length === 0) console.log("no test system is there");
    for (const name of names) {
      const pid = await runningInit(name);
      console.log(pid === undefined ? `${name}  not running` : `${name}  running, init ${pid}`);
    }
  },
});

const screenshotCommand = defineCommand({
  meta: { name: "screenshot", description: "save what liveuser's Sway shows as a PNG file" },
  args: {
    file: { type: "positional", description: "FILE.png", required: true },
    name: nameArgument,
  },
  async run({ args }) {
    await screenshot(await attachLive(args.name), args.file);
  },
});

/** Its arguments are taken apart by `execArguments`: those of the command are not ours. */
const execCommand = defineCommand({
  meta: { name: "exec", description: "run a command in it as root: exec [--name NAME] -- CMD..." },
  args: { name: nameArgument },
  async run({ rawArgs }) {
    const { name, command } = execArguments(rawArgs);
    const live = await attachLive(name);
    process.exitCode = await live.execHere(command);
  },
});

function execArguments(raw: readonly string[]): { name: string; command: string[] } {
  const rest = [...raw];
  let name = DEFAULT_NAME;
  for (let word = rest[0]; word?.startsWith("-"); word = rest[0]) {
    rest.shift();
    if (word === "--") break;
    if (word === "--name") name = rest.shift() ?? "";
    else if (word.startsWith("--name=")) name = word.slice("--name=".length);
    else throw new UsageError(`unknown option ${word}: exec [--name NAME] -- CMD...`);
  }
  if (rest.length === 0) throw new UsageError("no command: exec [--name NAME] -- CMD...");
  return { name, command: rest };
}

// biome-ignore lint/suspicious/noExplicitAny: citty's own type for a command of whatever arguments
type Command = CommandDef<any>;

const COMMANDS: Readonly<Record<string, Command>> = {
  start: startCommand,
  stop: stopCommand,
  exec: execCommand,
  screenshot: screenshotCommand,
  status: statusCommand,
};

const main = defineCommand({
  meta: { name: "bun run live", description: "OpenRC with protocol7-core, booted in namespaces" },
  subCommands: { ...COMMANDS },
});

/** Options and words that a command does not know are errors, which citty lets pass. */
async function checkArguments(command: Command, raw: readonly string[]): Promise<void> {
  const known = (await resolve<ArgsDef | undefined>(command.args)) ?? {};
  const words = Object.values(known).filter(({ type }) => type === "positional").length;
  const given: string[] = [];
  for (let at = 0; at < raw.length; at++) {
    const word = raw[at] ?? "";
    const [option = "", value] = word.split("=", 2);
    const argument = option.startsWith("--") ? known[option.slice(2)] : undefined;
    if (!word.startsWith("-")) given.push(word);
    else if (argument === undefined || argument.type === "positional") {
      throw new UsageError(`unknown option ${option}`);
    } else if (argument.type === "string" && value === undefined && raw[++at] === undefined) {
      throw new UsageError(`${option} needs a value`);
    }
  }
  if (given.length > words) throw new UsageError(`unexpected ${given[words]}`);
  if (given.length < words) throw new UsageError("FILE is missing");
}

async function resolve<T>(value: T | (() => T | Promise<T>) | Promise<T>): Promise<T> {
  return await (value instanceof Function ? value() : value);
}

async function run(raw: readonly string[]): Promise<void> {
  const [first = ""] = raw;
  const named = first !== "" && !first.startsWith("-");
  const name = named ? first : "start";
  const command = COMMANDS[name];
  if (command === undefined) throw new UsageError(`unknown command ${name}`);
  const rest = named ? raw.slice(1) : [...raw];
  const end = name === "exec" ? rest.indexOf("--") : -1;
  if ((end < 0 ? rest : rest.slice(0, end)).some((word) => word === "--help" || word === "-h")) {
    console.log(await renderUsage(named ? command : main));
    return;
  }
  if (command !== COMMANDS.exec) await checkArguments(command, rest);
  else execArguments(rest);
  requireRoot();
  await runCommand(command, { rawArgs: rest });
}

try {
  await run(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`live: ${error.message}; bun run live --help tells more`);
    process.exitCode = 2;
  } else if (error instanceof Interrupted) {
    console.error(`live: ${error.message}: everything has been removed`);
    process.exitCode = error.status;
  } else if (isForPerson(error)) {
    console.error(`live: ${error.message}`);
    process.exitCode = 1;
  } else {
    throw error;
  }
}

function isForPerson(error: unknown): error is Error {
  return error instanceof HostError || error instanceof PackageError || error instanceof BuildError;
}
