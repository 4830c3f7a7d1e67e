/** Commands in a booted system, of whichever kind. */
import type { ExecResult } from "../../testbed/live/index.ts";
import { readAssignments } from "./assignments.ts";

/** A booted system that commands can be run in. */
export interface Inside {
  exec(command: string[], options?: { user?: string }): Promise<ExecResult>;
}

/** Runs a command inside that has to succeed; returns what it printed. */
export async function must(inside: Inside, command: string[], user?: string): Promise<string> {
  const done: ExecResult = await inside.exec(command, user === undefined ? {} : { user });
  if (done.code !== 0) {
    throw new Error(`${command.join(" ")}: exit status ${done.code}\n${done.stdout}${done.stderr}`);
  }
  return done.stdout;
}

/** `loginctl show-KIND NAME` as an object, by the loginctl in the PATH or another. */
export async function show(
  inside: Inside,
  kind: "session" | "user" | "seat",
  name: string,
  loginctl = "loginctl",
): Promise<Record<string, string>> {
  return readAssignments(await must(inside, [loginctl, "--no-pager", `show-${kind}`, name]));
}
