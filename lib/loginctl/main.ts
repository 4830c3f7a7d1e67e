/** loginctl: its whole run, from the command line to the exit status. */
import { OptionError, say, version } from "../cli/index.ts";
import { Login1Client } from "./client.ts";
import { closestWord } from "./closest.ts";
import { CommandError } from "./errors.ts";
import { LOGINCTL_HELP } from "./help.ts";
import { parseOptions, type VerbRequest } from "./options.ts";
import { Output } from "./output.ts";
import { askedAlone, endAtOnce } from "./power-verbs.ts";
import type { Run } from "./verb.ts";
import { VERB_NAMES, VERBS } from "./verbs.ts";

/**
 * Runs the command.
 *
 * @returns the exit status: 1 for whatever goes wrong, also a wrong command line, as systemd's
 */
export function loginctl(args: readonly string[]): Promise<number> {
  return reporting("loginctl", () => run(args));
}

/** Writes what ended a command early in one line; everything else is a fault of ours and thrown. */
export async function reporting(name: string, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OptionError) say("error", `${name}: ${error.message}`);
    else if (error instanceof CommandError) say("error", error.message);
    else throw error;
    return 1;
  }
}

/** What the command line has us do. @throws {CommandError} if it is wrong */
function chosen({ verb, args, options }: VerbRequest): { name: string; run: Run } {
  const name = verb ?? "list-sessions";
  const alone = askedAlone(verb, { options });
  if (alone) return { name, run: alone };
  const found = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (!found) {
    const closest = closestWord(name, VERB_NAMES);
    const hint = closest === undefined ? "." : `, did you mean '${closest}'?`;
    throw new CommandError(`Unknown command verb '${name}'${hint}`);
  }
  if (args.length < found.least) throw new CommandError("Too few arguments.");
  if (args.length > found.most) throw new CommandError("Too many arguments.");
  return { name, run: found.run };
}

async function run(args: readonly string[]): Promise<number> {
  const request = parseOptions(args);
  if (request.kind === "print") {
    const { what } = request;
    if (what === "help") process.stdout.write(LOGINCTL_HELP);
    else if (what === "version") process.stdout.write(`loginctl ${version}\n`);
    else process.stdout.write(`${what.join("\n")}\n`);
    return 0;
  }
  const { options } = request;
  const { name, run: work } = chosen(request);
  if (endAtOnce(name, { options })) return 0;
  const output = new Output(options.pager);
  const client = await Login1Client.open(options.askPassword);
  try {
    await work({ client, output, options }, request.args);
  } finally {
    client.close();
    // What was found before something failed is worth seeing too.
    await output.flush();
  }
  return 0;
}
