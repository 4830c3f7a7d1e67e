/** Logins at a medium's greeter, and what its sessions show. */
import { setTimeout as sleep } from "node:timers/promises";
import { HostError } from "../../scripts/host.ts";
import { parseSessions } from "../live/ready.ts";
import type { BootedMedium } from "./index.ts";

export const SESSIONS = ["sway", "openbox"] as const;
export type SessionName = (typeof SESSIONS)[number];

/** Who logs in. A system's first user has the id 1000, the medium's as well as an installed one's. */
export interface Person {
  readonly name: string;
  readonly password?: string;
}

/** Who the medium is for. */
const LIVE_USER: Person = { name: "liveuser" };

/** The start of a desktop, without KVM and on a busy host, in milliseconds. */
const DESKTOP_TIMEOUT = 900_000;

/** A node of Sway's tree, as far as it is looked at here (sway-ipc(7)). */
export interface SwayNode {
  readonly id: number;
  readonly type: string;
  readonly name: string | null;
  readonly focused: boolean;
  readonly num?: number;
  readonly layout: string;
  readonly rect: Record<"x" | "y" | "width" | "height", number>;
  readonly nodes: readonly SwayNode[];
  readonly floating_nodes: readonly SwayNode[];
}

/**
 * What is on the first terminal, as the kernel keeps it: the lines that are not empty. Frames are
 * numbers of the font's signs, and are left out.
 */
async function firstTerminal(medium: BootedMedium): Promise<string> {
  const columns = "$(stty size </dev/tty1 | cut -d ' ' -f 2)";
  return await medium.must(
    `LC_ALL=C tr -c '[:print:]' ' ' </dev/vcs1 | fold -w ${columns} | sed 's/ *$//' | grep . || :`,
  );
}

/** Whether tuigreet asks for a name on a terminal that shows this text. */
export function asksForName(screen: string): boolean {
  return /\bUsername:/.test(screen);
}

/** The names in tuigreet's menu of the sessions, in its order; none where it is not open. */
export function sessionsOn(screen: string): string[] {
  const lines = screen.split("\n").map((line) => line.trim());
  const title = lines.indexOf("Change session");
  const foot = lines.findIndex((line) => line.startsWith("ESC "));
  return title < 0 ? [] : lines.slice(title + 1, foot);
}

/** Waits until the greeter asks for a name. */
export async function awaitGreeter(medium: BootedMedium): Promise<void> {
  await medium.waitFor(
    async () => asksForName(await firstTerminal(medium)),
    "the greeter on the first terminal",
  );
}

/** Chooses a session from tuigreet's menu. */
async function chooseSession(medium: BootedMedium, session: SessionName): Promise<void> {
  await medium.press("f3");
  const names = await medium.waitFor(async () => {
    const found = sessionsOn(await firstTerminal(medium));
    return found.length > 0 && found;
  }, "tuigreet's menu of the sessions");
  const place = names.findIndex((name) => name.toLowerCase() === session);
  if (place < 0) throw new HostError(`tuigreet has ${names.join(", ")}, and no ${session}`);
  // It begins with the one that was chosen last, and stops at both ends.
  const keys = [...names.map(() => "up"), ...names.slice(0, place).map(() => "down"), "ret"];
  for (const key of keys) {
    await medium.press(key);
    await sleep(300);
  }
  await awaitGreeter(medium);
}

/** Chooses a session at the greeter, and types a name and the password where there is one. */
export async function logInAtGreeter(
  medium: BootedMedium,
  session: SessionName,
  { name, password }: Person = LIVE_USER,
): Promise<void> {
  await awaitGreeter(medium);
  await chooseSession(medium, session);
  await medium.type(`${name}\n`);
  if (password !== undefined) {
    await medium.waitFor(
      async () => /\bPassword:/.test(await firstTerminal(medium)),
      "the question for the password",
    );
    await medium.type(`${password}\n`);
  }
  if (session === "sway") await awaitSway(medium, name);
  else await awaitOpenbox(medium, name);
}

/** Runs a line of sh as the first user, beside the session: for what asks a desktop. */
export function asUser(medium: BootedMedium, line: string, timeout?: number) {
  const quoted = line.replaceAll("'", "'\\''");
  const environment =
    'HOME="$home" XDG_RUNTIME_DIR=/run/user/1000 DISPLAY=:0 XAUTHORITY="$home/.Xauthority"';
  return medium.run(
    `home=$(getent passwd 1000 | cut -d: -f6); exec setpriv --reuid=1000 --regid=1000 --init-groups env ${environment} sh -c '${quoted}'`,
    timeout,
  );
}

/** Asks Sway by its socket, which need not be there yet. */
function askSway(medium: BootedMedium, words: string) {
  return asUser(medium, `exec swaymsg -s "$(echo /run/user/1000/sway-ipc.*.sock)" ${words}`);
}

/** The same, whose answer is wanted. @throws HostError where it does not answer. */
export async function swaymsg(medium: BootedMedium, words: string): Promise<string> {
  const { code, stdout, stderr } = await askSway(medium, words);
  if (code === 0) return stdout;
  throw new HostError(`swaymsg ${words}: ${stderr.trim() || stdout.trim()}`);
}

/** Sway's windows and workspaces. */
export async function swayTree(medium: BootedMedium): Promise<SwayNode> {
  return JSON.parse(await swaymsg(medium, "-t get_tree"));
}

/** All nodes of a tree, in its order. */
export function nodes(tree: SwayNode): SwayNode[] {
  return [tree, ...[...tree.nodes, ...tree.floating_nodes].flatMap(nodes)];
}

/** Sway shows an output, and what the live user's configuration starts with it runs. */
async function awaitSway(medium: BootedMedium, user: string): Promise<void> {
  await medium.waitFor(
    async () => (await askSway(medium, "-t get_outputs")).stdout.includes('"active": true'),
    "Sway on the screen",
    DESKTOP_TIMEOUT,
  );
  for (const program of ["swaybg", "swaybar"]) await awaitProgram(medium, program, user);
}

async function awaitOpenbox(medium: BootedMedium, user: string): Promise<void> {
  for (const program of ["openbox", "tint2"]) await awaitProgram(medium, program, user);
  // hsetroot ends once it has set the wallpaper.
  await medium.waitFor(
    async () => (await asUser(medium, "xprop -root _XROOTPMAP_ID")).stdout.includes("pixmap id"),
    "Openbox's wallpaper",
    DESKTOP_TIMEOUT,
  );
}

/** Waits for a process of a user by its name. */
export async function awaitProgram(
  medium: BootedMedium,
  name: string,
  user = LIVE_USER.name,
): Promise<void> {
  await medium.waitFor(
    async () => (await medium.run(`pgrep -u ${user} -x ${name}`)).code === 0,
    `${name} of ${user}`,
    DESKTOP_TIMEOUT,
  );
}

/** A user's session on a seat, not that on the serial line, by loginctl's list; undefined where there is none. */
export async function liveSession(
  medium: BootedMedium,
  name = LIVE_USER.name,
): Promise<string | undefined> {
  const list = await medium.must("loginctl --no-legend --no-pager list-sessions");
  return parseSessions(list).find(({ user, seat }) => user === name && seat !== "")?.id;
}

/** Waits until the live user's session has ended and the greeter is back. */
export async function awaitLogout(medium: BootedMedium): Promise<void> {
  await medium.waitFor(
    async () => (await liveSession(medium)) === undefined,
    `the end of ${LIVE_USER.name}'s session`,
  );
  await awaitGreeter(medium);
}
