/** What session-status, user-status and seat-status print: what matters to a person. */
import { now, processStatus } from "../linux/index.ts";
import type { Login1Client, Properties } from "./client.ts";
import { drawDevices } from "./devices.ts";
import { reasonOf, saying } from "./errors.ts";
import type { Output } from "./output.ts";
import { formatRelative, formatTimestamp } from "./time.ts";
import { drawProcesses } from "./tree.ts";

/** What is left of a line for a process, and for a device, after what is in front of it. */
const BEFORE_PROCESS = 18;
const BEFORE_DEVICE = 21;
const INDENT = "\t\t  ";

/** Where status goes and by whom it is asked for. */
export interface StatusContext {
  client: Login1Client;
  output: Output;
  /** -l: nothing is cut to the width of the terminal. */
  full: boolean;
}

const text = (properties: Properties, name: string) => String(properties[name]?.value ?? "");
const number = (properties: Properties, name: string) => Number(properties[name]?.value ?? 0);
const pair = (properties: Properties, name: string) => {
  const [first = ""] = (properties[name]?.value ?? []) as [(string | number)?, string?];
  return String(first);
};
const sessionIds = (properties: Properties) =>
  ((properties.Sessions?.value ?? []) as [string, string][]).map(([id]) => id);

/** Labels end in one column, as wide as `Sessions`. */
const field = (output: Output, label: string, value: string) =>
  output.line(`\t${label.padStart(8)}: ${value}`);

function since(output: Output, properties: Properties): void {
  const at = properties.Timestamp?.value as bigint | undefined;
  const written = formatTimestamp(at ?? 0n);
  if (at === undefined || written === "") return;
  field(output, "Since", `${written}; ${formatRelative(at, now().realtime)}`);
}

/** A unit and its processes; where they cannot be learnt, it says so and goes on. */
async function unit({ client, output, full }: StatusContext, name: string): Promise<void> {
  if (name === "") return;
  field(output, "Unit", name);
  try {
    const cgroup = await client.unitCgroup(name);
    if (cgroup === "") return;
    const processes = await client.unitProcesses(name);
    const width = full ? undefined : output.width;
    const room = width === undefined ? undefined : Math.max(width - BEFORE_PROCESS, 10);
    drawProcesses(output, cgroup, processes, INDENT, room);
  } catch (error) {
    process.stderr.write(`Failed to list the processes of ${name}: ${reasonOf(error)}\n`);
  }
}

function remote(properties: Properties): string | undefined {
  const [host, user] = [text(properties, "RemoteHost"), text(properties, "RemoteUser")];
  if (host && user) return `${user}@${host}`;
  if (host) return host;
  if (user) return `user ${user}`;
  return properties.Remote?.value === true ? "Yes" : undefined;
}

/** Prints the session at `path`. @throws {CommandError} */
export async function sessionStatus(context: StatusContext, path: string): Promise<void> {
  const { client, output } = context;
  const session = await saying("Could not get properties", client.properties(path));
  output.line(`${text(session, "Id")} - ${text(session, "Name")} (${pair(session, "User")})`);
  since(output, session);
  const leader = number(session, "Leader");
  if (leader > 0) {
    const command = processStatus(leader)?.command;
    field(output, "Leader", command === undefined ? `${leader}` : `${leader} (${command})`);
  }
  const seat = pair(session, "Seat");
  const vt = number(session, "VTNr");
  if (seat !== "") field(output, "Seat", vt > 0 ? `${seat}; vc${vt}` : seat);
  const [tty, display] = [text(session, "TTY"), text(session, "Display")];
  if (tty !== "") field(output, "TTY", tty);
  else if (display !== "") field(output, "Display", display);
  const from = remote(session);
  if (from !== undefined) field(output, "Remote", from);
  const [service, type, kind] = ["Service", "Type", "Class"].map((name) => text(session, name));
  const described = [
    service ? { label: "Service", value: service } : undefined,
    type ? { label: "Type", value: service ? `type ${type}` : type } : undefined,
    kind ? { label: "Class", value: service || type ? `class ${kind}` : kind } : undefined,
  ].filter((part) => part !== undefined);
  const [first] = described;
  if (first) field(output, first.label, described.map(({ value }) => value).join("; "));
  const desktop = text(session, "Desktop");
  if (desktop !== "") field(output, "Desktop", desktop);
  field(output, "State", text(session, "State"));
  await unit(context, text(session, "Scope"));
}

/** The sessions in one line, the one that counts marked by a star. */
function sessions(output: Output, properties: Properties, marked: string): void {
  const ids = sessionIds(properties);
  if (ids.length === 0) return;
  field(output, "Sessions", ids.map((id) => (id === marked ? `*${id}` : id)).join(" "));
}

/** Prints the user at `path`. @throws {CommandError} */
export async function userStatus(context: StatusContext, path: string): Promise<void> {
  const { client, output } = context;
  const user = await saying("Could not get properties", client.properties(path));
  output.line(`${text(user, "Name")} (${number(user, "UID")})`);
  since(output, user);
  field(output, "State", text(user, "State"));
  sessions(output, user, pair(user, "Display"));
  field(output, "Linger", user.Linger?.value === true ? "yes" : "no");
  await unit(context, text(user, "Slice"));
}

/** Prints the seat at `path`. @throws {CommandError} */
export async function seatStatus(context: StatusContext, path: string): Promise<void> {
  const { client, output, full } = context;
  const seat = await saying("Could not get properties", client.properties(path));
  output.line(text(seat, "Id"));
  sessions(output, seat, pair(seat, "ActiveSession"));
  output.line("\t Devices:");
  const width = full ? undefined : output.width;
  const room = width === undefined ? undefined : Math.max(width - BEFORE_DEVICE, 10);
  drawDevices(output, text(seat, "Id"), INDENT, room);
}
