/**
 * Runs sleep hooks. They are other people's programs and need all of the system, so a bridge in its
 * sandbox has them run outside, by /usr/libexec/lainos/outside at the other end of two pipes.
 */
import { read, writeSync } from "node:fs";
import { promisify } from "node:util";
import { closeOnExecFrom } from "../linux/index.ts";
import { runCommand } from "./command.ts";

/** How long a hook may take, in milliseconds; systemd's limit, and that of outside. */
const TIMEOUT = 90_000;
const ANSWER_SIZE = 64;
const KILLED = 137;

/** The descriptors at which outside is asked and answers. */
interface Outside {
  ask: number;
  answer: number;
}

/** Found once. */
let known: Outside | undefined;

/**
 * Where outside is, by LAINOS_OUTSIDE, which the sandbox sets.
 *
 * @returns undefined without a sandbox
 * @throws {Error} it names no descriptors
 */
function findOutside(): Outside | undefined {
  const text = process.env.LAINOS_OUTSIDE;
  if (known || text === undefined) return known;
  const [, ask, answer] = /^(\d+) (\d+)$/.exec(text) ?? [];
  if (ask === undefined || answer === undefined) {
    throw new Error(`LAINOS_OUTSIDE=${text}: must be two descriptors`);
  }
  known = { ask: Number(ask), answer: Number(answer) };
  // The hooks' own pipes end with the bridge, and not with what it starts.
  closeOnExecFrom(Math.min(known.ask, known.answer));
  return known;
}

/**
 * Runs one hook to its end, one at a time.
 *
 * @throws {Error} it could not be started, failed or took too long, with its path and how it ended
 */
export async function runHook(path: string, moment: "pre" | "post", way: string): Promise<void> {
  const outside = findOutside();
  if (!outside) return runCommand([path, moment, way], TIMEOUT, { SYSTEMD_SLEEP_ACTION: way });
  if (path.includes("\n")) throw new Error(`${JSON.stringify(path)} has a line break in its name`);
  writeSync(outside.ask, `${moment} ${way} ${path}\n`);
  const buffer = Buffer.alloc(ANSWER_SIZE);
  const { bytesRead } = await promisify(read)(outside.answer, buffer, 0, ANSWER_SIZE, null);
  const status = /^(\d+)\n$/.exec(buffer.toString("latin1", 0, bytesRead))?.[1];
  if (status === undefined) throw new Error(`${path} was not run: what runs hooks has ended`);
  if (Number(status) === KILLED) throw new Error(`${path} was ended by SIGKILL`);
  if (status !== "0") throw new Error(`${path} failed with exit status ${status}`);
}
