/** What session-status, user-status and seat-status print: what matters to a person. */
import { colours, say } from "../cli/index.ts";
import { now, processStatus } from "../linux/index.ts";
import type { Login1Client, Properties } from "./client.ts";
import { drawDevices } from "./devices.ts";
import { reasonOf, saying } from "./errors.ts";
import type { Output } from "./output.ts";
import { formatRelative, formatTimestamp } from "./time.ts";
import { drawProcesses } from "./tree.ts";
import { shorten } from "./width.ts";

/** How much of a line is not for the path of a device, and not for the command of a process. */
const BEFORE_DEVICE = 21;
const BEFORE_PROCESS = 18;

/** Where status goes and by whom it is asked for. */
export interface StatusContext {
  client: Login1Client;
  output: Output;
  /** -l: nothing is cut to the width of the terminal. */
  full: boolean;
}

const text = (properties: Properties, name: string) => String(properties[name]?.value ?? "");
const number = (properties: Properties, name: string) => Number(properties[name]?.value ?? 0);
const time = (properties: Properties, name: string) => (properties[name]?.value ?? 0n) as bigint;
const yesNo = (value: unknown) => (value === true ? "yes" : "no");
const pair = (properties: Properties, name: string) => {
  const [first = ""] = (properties[name]?.value ?? []) as [(string | number)?, string?];
  return String(first);
};

/** A line: its label, and its text or, for a value that is not set, undefined. */
type Field = [label: string, value: string | undefined];

/**
 * Prints the lines below a headline, their labels aligned at the colon.
 *
 * @param least how wide the labels are at least
 */
function printFields(
  { output, full }: StatusContext,
  headline: string,
  fields: readonly Field[],
  least = 0,
): void {
  output.line(colours.bold(headline));
  const labels = Math.max(least, ...fields.map(([label]) => label.length));
  const room = full || output.width === undefined ? undefined : output.width - labels - 2;
  for (const [label, value = colours.grey("n/a")] of fields) {
    const written = colours.label(`${label.padStart(labels)}:`);
    // Each line of a value that has several is in the column of the first.
    for (const [at, line] of value.split("\n").entries()) {
      const cut = shorten(line, room, 100);
      output.line(`${at === 0 ? written : " ".repeat(labels + 1)} ${cut}`);
    }
  }
}

/** The line of a value that is left out where it is empty. */
const unlessEmpty = (label: string, value: string): Field[] =>
  value === "" ? [] : [[label, value]];

function since(properties: Properties): Field[] {
  const written = formatTimestamp(time(properties, "Timestamp"));
  const ago = formatRelative(time(properties, "TimestampMonotonic"), now().monotonic);
  return unlessEmpty("Since", written && `${written}; ${ago}`);
}

/** Draws the processes of a unit. Where login1's systemd1 does not give them, a warning says so. */
async function unit(
  { client, output, full }: StatusContext,
  name: string,
  indent: string,
): Promise<void> {
  if (name === "") return;
  const unlessRefused = <Result>(what: string, work: Promise<Result>) =>
    work.catch((error: unknown) => {
      say("error", `${what}: ${reasonOf(error)}`);
      return undefined;
    });
  const found = client.unitCgroup(name);
  const cgroup = await unlessRefused("Failed to query unit control group path", found);
  if (!cgroup) return;
  const listed = client.unitProcesses(name);
  const processes = await unlessRefused("Failed to dump process list", listed);
  if (!processes) return;
  const width = full ? undefined : output.width;
  const room = width === undefined ? undefined : Math.max(width - BEFORE_PROCESS, 10);
  drawProcesses(output, cgroup, processes, indent, room);
}

function remote(properties: Properties): string {
  const [host, user] = [text(properties, "RemoteHost"), text(properties, "RemoteUser")];
  if (host && user) return `${user}@${host}`;
  if (host) return host;
  return user ? `user ${user}` : yesNo(properties.Remote?.value);
}

function idle(properties: Properties): string {
  const isIdle = properties.IdleHint?.value === true;
  const at = formatTimestamp(time(properties, "IdleSinceHint"));
  if (!isIdle || at === "") return yesNo(isIdle);
  const ago = formatRelative(time(properties, "IdleSinceHintMonotonic"), now().monotonic);
  return `yes since ${at} (${ago})`;
}

function leader(properties: Properties): string {
  const pid = number(properties, "Leader");
  if (pid === 0) return "";
  const command = processStatus(pid)?.command;
  return command === undefined ? `${pid}` : `${pid} (${command})`;
}

/** Prints the session at `path`. @throws {CommandError} */
export async function sessionStatus(context: StatusContext, path: string): Promise<void> {
  const { client } = context;
  const session = await saying("Could not get properties", client.properties(path));
  const value = (name: string) => text(session, name);
  const [seat, vt] = [pair(session, "Seat"), number(session, "VTNr")];
  printFields(context, `${value("Id")} - ${value("Name")} (${pair(session, "User")})`, [
    ...since(session),
    ["State", value("State") || undefined],
    ...unlessEmpty("Leader", leader(session)),
    ...unlessEmpty("Seat", seat && (vt > 0 ? `${seat}; vc${vt}` : seat)),
    ...(value("TTY") ? unlessEmpty("TTY", value("TTY")) : unlessEmpty("Display", value("Display"))),
    ["Remote", remote(session)],
    ...["Service", "Type", "Class", "Desktop"].flatMap((name) => unlessEmpty(name, value(name))),
    ["Idle", idle(session)],
    ...unlessEmpty("Unit", value("Scope")),
  ]);
  await unit(context, value("Scope"), " ".repeat("Display: ".length));
}

/**
 * The sessions in as many lines as the terminal's width asks for, the one that counts marked by a
 * star. Without a terminal $COLUMNS or 80 says the width, as for all that is no table of rows.
 */
function sessions({ output }: StatusContext, properties: Properties, marked: string): Field[] {
  const ids = ((properties.Sessions?.value ?? []) as [string, string][]).map(([id]) => id);
  const room = output.columns - "Sessions: ".length;
  let lines = "";
  let length = 0;
  for (const id of ids) {
    const word = id === marked ? `*${id}` : id;
    const isFirst = lines === "";
    const fits = length + 1 + word.length <= room;
    lines += isFirst ? word : fits ? ` ${word}` : `\n${word}`;
    length = isFirst || !fits ? word.length : length + 1 + word.length;
  }
  return unlessEmpty("Sessions", lines);
}

/** Prints the user at `path`. @throws {CommandError} */
export async function userStatus(context: StatusContext, path: string): Promise<void> {
  const { client } = context;
  const user = await saying("Could not get properties", client.properties(path));
  const slice = text(user, "Slice");
  const fields: Field[] = [
    ...since(user),
    ["State", text(user, "State") || undefined],
    ...sessions(context, user, pair(user, "Display")),
    ["Linger", yesNo(user.Linger?.value)],
    ...unlessEmpty("Unit", slice),
  ];
  const headline = `${text(user, "Name")} (${number(user, "UID")})`;
  printFields(context, headline, fields, slice === "" ? 0 : "Sessions".length - 1);
  await unit(context, slice, " ".repeat("Sessions: ".length));
}

/** Prints the seat at `path`. @throws {CommandError} */
export async function seatStatus(context: StatusContext, path: string): Promise<void> {
  const { client, output, full } = context;
  const seat = await saying("Could not get properties", client.properties(path));
  printFields(context, text(seat, "Id"), [
    ...sessions(context, seat, pair(seat, "ActiveSession")),
    // The devices follow; systemd has a cell for them that is never set.
    ["Devices", undefined],
  ]);
  const width = full ? undefined : output.width;
  const room = width === undefined ? undefined : Math.max(width - BEFORE_DEVICE, 10);
  drawDevices(output, text(seat, "Id"), " ".repeat("Sessions:".length), room);
}
