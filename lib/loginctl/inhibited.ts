/** What a person at a terminal hears of before the machine goes down or to sleep under somebody's hands. */
import { colours, say, visible } from "../cli/index.ts";
import { processStatus, userById } from "../linux/index.ts";
import type { Inhibitor, Login1Client, Properties } from "./client.ts";
import { CommandError } from "./errors.ts";

const ROOT = 0;
/** The types of sessions that a person sits at. */
const SEEN = ["x11", "wayland", "tty", "mir"];

const nameOf = (uid: number) => userById(uid)?.name ?? String(uid);

/**
 * Refuses where inhibitors or other users stand against it, each named in a line of its own. Only
 * where somebody reads that: login1 itself refuses whoever may not go on.
 *
 * @param what the operation is inhibited as
 * @param verb of loginctl, for the remedy
 * @throws {CommandError}
 */
export async function refuseIfInhibited(
  client: Login1Client,
  what: "shutdown" | "sleep",
  verb: string,
): Promise<void> {
  if (!colours.onTerminal) return;
  const uid = process.geteuid?.() ?? ROOT;
  const lines = await inhibitorLines(client, what, uid);
  // Root heeds inhibitors, and sends users away as ever.
  if (lines.length > 0 || uid !== ROOT) lines.push(...(await sessionLines(client)));
  if (lines.length === 0) return;
  for (const line of lines) say("warning", line);
  throw new CommandError(
    "Please retry operation after closing inhibitors and logging out other users.\n" +
      "'systemd-inhibit' can be used to list active inhibitors.\n" +
      `Alternatively, ignore inhibitors and users with 'loginctl ${verb} -i'.`,
  );
}

/** Where login1 does not say: what follows says what is wrong with it. */
const nothing = (): [never[]] => [[]];

async function inhibitorLines(client: Login1Client, what: string, uid: number): Promise<string[]> {
  const [all] = (await client.manager("ListInhibitors").catch(nothing)) as [Inhibitor[]];
  return all
    .filter(
      ([whats, , , mode, owner]) =>
        whats.split(":").includes(what) &&
        (mode === "block" || (mode === "block-weak" && uid !== ROOT && uid !== owner)),
    )
    .map(([, who, why, , owner, pid]) => {
      const command = processStatus(pid)?.command ?? "n/a";
      const text = `Operation inhibited by "${who}" (PID ${pid} "${command}", user ${nameOf(owner)}), reason is "${why}".`;
      return visible(text);
    });
}

/** One line for each session that another user sits at. */
async function sessionLines(client: Login1Client): Promise<string[]> {
  const lines: string[] = [];
  const [all] = (await client.manager("ListSessions").catch(nothing)) as [unknown[]];
  for (const [, uid, , , path] of all as [string, number, string, string, string][]) {
    if (uid === process.getuid?.()) continue;
    // One that has ended meanwhile is no session any more.
    const found = await client.properties(path).catch((): Properties => ({}));
    const text = (name: string) => String(found[name]?.value ?? "");
    if (text("Class") !== "user" || !SEEN.includes(text("Type"))) continue;
    const [seat] = (found.Seat?.value ?? [""]) as [string];
    lines.push(`User ${nameOf(uid)} is logged in on ${text("TTY") || seat || text("Service")}.`);
  }
  return lines;
}
