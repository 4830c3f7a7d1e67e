/** What a verb of loginctl is. */
import { startAgent } from "./agent.ts";
import type { Login1Client } from "./client.ts";
import type { Options } from "./options.ts";
import type { Output } from "./output.ts";

/** What a verb works with. */
export interface VerbContext {
  client: Login1Client;
  output: Output;
  options: Options;
}

export type Run = (context: VerbContext, args: string[]) => Promise<void>;

export interface Verb {
  /** What its arguments are: of these the shells complete. */
  takes: "session" | "user" | "seat" | "nothing" | "seat and devices";
  least: number;
  most: number;
  run: Run;
}

export const MANY = Number.POSITIVE_INFINITY;

export const verb = (takes: Verb["takes"], least: number, most: number, run: Run): Verb => ({
  takes,
  least,
  most,
  run,
});

/** Runs a verb that changes something, with somebody there to ask for the password. */
export async function withAgent(
  { options }: VerbContext,
  work: () => Promise<void>,
): Promise<void> {
  if (!options.askPassword) return work();
  const endAgent = await startAgent();
  try {
    await work();
  } finally {
    await endAgent();
  }
}
