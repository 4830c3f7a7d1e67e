/** systemd-inhibit: a command that runs with an inhibitor held; see systemd-inhibit(1). */
import {
  findExecutable,
  type GetoptOption,
  getopt,
  restoreOpenFilesLimit,
  say,
  version,
} from "../cli/index.ts";
import { close, describeErrno, processStatus, userById } from "../linux/index.ts";
import { startAgent } from "./agent.ts";
import { type Inhibitor, Login1Client } from "./client.ts";
import { CommandError, saying } from "./errors.ts";
import { INHIBIT_HELP } from "./help.ts";
import { reporting } from "./main.ts";
import { JSON_MODES, parseJsonMode } from "./options.ts";
import { Output } from "./output.ts";
import { cell, type JsonMode } from "./table.ts";
import { type ListOptions, printList } from "./table-output.ts";

export const INHIBIT_OPTIONS: readonly GetoptOption[] = [
  { key: "help", long: "help", short: "h" },
  { key: "version", long: "version" },
  { key: "no-ask-password", long: "no-ask-password" },
  { key: "no-pager", long: "no-pager" },
  { key: "no-legend", long: "no-legend" },
  { key: "json", long: "json", value: "required" },
  { key: "what", long: "what", value: "required" },
  { key: "who", long: "who", value: "required" },
  { key: "why", long: "why", value: "required" },
  { key: "mode", long: "mode", value: "required" },
  { key: "list", long: "list" },
];

/**
 * Runs the command.
 *
 * @returns the exit status: the command's own, and 1 for whatever goes wrong here
 */
export function systemdInhibit(args: readonly string[]): Promise<number> {
  return reporting("systemd-inhibit", () => run(args));
}

/** What the command line says of an inhibitor: of the one to take, or of those to list. */
interface Lock {
  what?: string;
  who?: string;
  why?: string;
  mode?: string;
}

async function run(args: readonly string[]): Promise<number> {
  const lock: Lock = {};
  let json: JsonMode | undefined;
  const flags = new Set<string>();
  const command: string[] = [];
  for (const item of getopt(INHIBIT_OPTIONS, args, "end-options")) {
    if ("operand" in item) {
      command.push(item.operand);
    } else if (item.key === "help") {
      process.stdout.write(INHIBIT_HELP);
      return 0;
    } else if (item.key === "version") {
      process.stdout.write(`systemd-inhibit ${version}\n`);
      return 0;
    } else if (item.key === "json") {
      if (item.value === "help") {
        process.stdout.write(`${JSON_MODES.join("\n")}\n`);
        return 0;
      }
      json = parseJsonMode(item.value ?? "");
    } else if (item.value !== undefined) {
      lock[item.key as keyof Lock] = item.value;
    } else {
      flags.add(item.key);
    }
  }
  if (flags.has("list") || command.length === 0) {
    const output = new Output(!flags.has("no-pager"));
    await list(output, lock, { legend: !flags.has("no-legend") && !json, json });
    await output.flush();
    return 0;
  }
  return hold(lock, command, !flags.has("no-ask-password"));
}

const compare = <Value>(a: Value, b: Value) => (a < b ? -1 : a > b ? 1 : 0);

/** Lists the inhibitors of which all is true that the command line says. */
async function list(output: Output, lock: Lock, options: ListOptions): Promise<void> {
  const client = await Login1Client.open(false);
  try {
    const listed = client.manager("ListInhibitors");
    const [all] = await saying("Could not get active inhibitors", listed);
    const rows = (all as Inhibitor[])
      .filter(
        ([what, who, why, mode]) =>
          (lock.what ?? "")
            .split(":")
            .every((word) => word === "" || what.split(":").includes(word)) &&
          (lock.who ?? who) === who &&
          (lock.why ?? why) === why &&
          (lock.mode ?? mode) === mode,
      )
      .sort(
        (a, b) =>
          compare(a[4], b[4]) || compare(a[1], b[1]) || compare(a[0], b[0]) || compare(a[2], b[2]),
      )
      .map(([what, who, why, kind, uid, pid]) => [
        ...[cell(who), cell(uid), cell(userById(uid)?.name ?? String(uid)), cell(pid)],
        ...[cell(processStatus(pid)?.command ?? "n/a"), cell(what), cell(why), cell(kind)],
      ]);
    const columns = ["who", "uid", "user", "pid", "comm", "what", "why", "mode"];
    // By default it is a whole command line.
    const widest = Math.floor(output.columns / 2);
    // Without any there is no JSON either, not even an empty list.
    if (options.json && rows.length === 0) return;
    printList(output, { columns, numeric: 0, rows, widest }, "inhibitors", options);
  } finally {
    client.close();
  }
}

/** Takes the inhibitor, runs the command to its end, and lets go. */
async function hold(lock: Lock, command: string[], askPassword: boolean): Promise<number> {
  const [name = ""] = command;
  const client = await Login1Client.open(askPassword);
  try {
    const { what = "idle:sleep:shutdown", who = command.join(" ") } = lock;
    const { why = "Unknown reason", mode = "block" } = lock;
    const endAgent = askPassword ? await startAgent() : async () => {};
    let fd: number;
    try {
      const taken = client.manager("Inhibit", "ssss", [what, who, why, mode]);
      [fd] = (await saying("Failed to inhibit", taken)) as [number];
    } finally {
      await endAgent();
    }
    // The kernel closes it too, with the inhibitor, if this process is killed.
    try {
      return await runCommand(name, command);
    } finally {
      close(fd);
    }
  } finally {
    client.close();
  }
}

/**
 * Runs a command that ends when this process does, since it counts on an inhibitor that nobody
 * would hold any more. setpriv(1) sets that; see PR_SET_PDEATHSIG in prctl(2).
 */
async function runCommand(name: string, command: string[]): Promise<number> {
  const program = findExecutable(name);
  if (typeof program === "number") {
    say("error", `Failed to execute '${name}': ${describeErrno(program)}`);
    return 1;
  }
  restoreOpenFilesLimit();
  // Ctrl-C goes to the command as well, which decides what to make of it.
  const ignore = () => {};
  process.on("SIGINT", ignore);
  try {
    const child = Bun.spawn(["setpriv", "--pdeathsig", "TERM", "--", ...command], {
      stdio: ["inherit", "inherit", "inherit"],
    });
    const code = await child.exited;
    if (child.signalCode !== null) {
      throw new CommandError(
        `'${name}' terminated by signal ${String(child.signalCode).replace(/^SIG/, "")}.`,
      );
    }
    return code;
  } finally {
    process.off("SIGINT", ignore);
  }
}
