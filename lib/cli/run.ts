/**
 * Runs a citty command with one set of rules for all executables: --help and
 * --version to standard output and 0; a failure in one line on standard error
 * and 1; wrong usage in one line that names --help and 2.
 */
import { basename } from "node:path";
import {
  type ArgsDef,
  type CommandDef,
  parseArgs,
  renderUsage,
  runCommand,
  type SubCommandsDef,
} from "citty";
import { confine } from "./confine.ts";
import { visible } from "./log.ts";
import { version } from "./version.ts";

/** What went wrong and how to mend it, for the person at the terminal; exit status 1. */
export class Failure extends Error {
  override name = "Failure";
}

/** The command line itself was wrong; exit status 2. */
export class UsageFailure extends Error {
  override name = "UsageFailure";
}

// citty's commands differ in their argument types, which does not matter here.
// biome-ignore lint/suspicious/noExplicitAny: see above
type AnyCommand = CommandDef<any>;

const resolve = async <Value>(value: Value | (() => Value | Promise<Value>)): Promise<Value> =>
  typeof value === "function" ? await (value as () => Value | Promise<Value>)() : value;

/**
 * A command that has an argument of this name (a positional one, not required) passes what follows
 * `--` on to another program: its `run` finds those words in `data`, and they count for nothing else.
 */
export const PASSED_ON = "--";

/**
 * Parses the arguments, runs the command, and sets the process's exit status.
 * It returns when the command does; a daemon's goes on in the event loop. It ends the process where the
 * command fails.
 */
export async function run(command: AnyCommand, args = process.argv.slice(2)): Promise<void> {
  const name = (await resolve(command.meta))?.name ?? basename(process.argv0);
  try {
    const { target, parent, rest } = await descend(command, args);
    const before = rest.slice(0, endOfOptions(rest));
    if (before.includes("--help") || before.includes("-h")) {
      process.stdout.write(`${await renderUsage(target, parent)}\n`);
      return;
    }
    if (before.includes("--version")) {
      process.stdout.write(`${name} ${version}\n`);
      return;
    }
    const passes = PASSED_ON in ((await resolve(target.args)) ?? {});
    const own = passes ? before : rest;
    await refuseUnknown(target, own);
    await confine();
    // Without its subcommands, or citty would take the first argument for the name of one.
    const { subCommands: _, ...alone } = target;
    await runCommand(alone, { rawArgs: own, ...(passes && { data: rest.slice(own.length + 1) }) });
  } catch (error) {
    // Whatever the command has begun (a watch, a connection) must not keep a failed daemon alive and deaf.
    process.exit(report(name, error));
  }
}

/** Writes what went wrong in one line; returns the exit status it stands for. */
function report(name: string, error: unknown): 1 | 2 {
  const usage =
    error instanceof UsageFailure || (error instanceof Error && error.name === "CLIError");
  const message = error instanceof Error ? error.message : String(error);
  const hint = usage ? ` (try ${name} --help)` : "";
  process.stderr.write(`${name}: ${visible(message)}${hint}\n`);
  if (process.env.LAINOS_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return usage ? 2 : 1;
}

const endOfOptions = (args: string[]) => {
  const at = args.indexOf("--");
  return at < 0 ? args.length : at;
};

/** Finds the subcommand that the arguments name, and the arguments left for it. */
async function descend(command: AnyCommand, args: string[]) {
  let target = command;
  let parent: AnyCommand | undefined;
  let rest = args;
  for (;;) {
    const subCommands = (await resolve(target.subCommands)) as SubCommandsDef | undefined;
    const word = rest[0];
    if (!subCommands || word === undefined || word.startsWith("-")) break;
    const next = Object.hasOwn(subCommands, word) ? subCommands[word] : undefined;
    // A command that also runs by itself takes the word as its argument.
    if (!next && target.run) break;
    if (!next) throw new UsageFailure(`there is no subcommand ${word}`);
    parent = target;
    target = (await resolve(next)) as AnyCommand;
    rest = rest.slice(1);
  }
  return { target, parent, rest };
}

/** citty takes any option; a misspelt one must not be silently without effect. */
async function refuseUnknown(command: AnyCommand, args: string[]): Promise<void> {
  const definitions = ((await resolve(command.args)) ?? {}) as ArgsDef;
  const parsed = parseArgs<ArgsDef>(args, definitions);
  const aliases = (name: string) => {
    const alias = (definitions[name] as { alias?: string | string[] } | undefined)?.alias ?? [];
    return typeof alias === "string" ? [alias] : alias;
  };
  const names = Object.keys(definitions);
  const known = new Set(names.flatMap((name) => [name, ...aliases(name)]));
  const plain = (text: string) => text.replaceAll("-", "").toLowerCase();
  const knownPlain = new Set([...known].map(plain));
  for (const key of Object.keys(parsed)) {
    if (key === "_" || knownPlain.has(plain(key))) continue;
    // The parser takes --no-x for x=false.
    const written = args.includes(`--no-${key}`) ? `no-${key}` : key;
    throw new UsageFailure(`there is no option --${written}`);
  }
  const places = names.filter(
    (name) => definitions[name]?.type === "positional" && name !== PASSED_ON,
  ).length;
  const takesMore = names.some((name) => name === "_");
  const given = parsed._.length;
  if (given > places && !takesMore) {
    throw new UsageFailure(`${parsed._[places] ?? "an argument"} is one argument too many`);
  }
}
