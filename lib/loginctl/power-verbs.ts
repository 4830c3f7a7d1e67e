/**
 * The verbs that elogind's loginctl has and systemd's does not, as systemctl has them: going down and
 * to sleep. See elogind's loginctl(1).
 */

import { readFileSync } from "node:fs";
import { parseBoolean, say } from "../cli/index.ts";
import { BusError, type Variant } from "../dbus/index.ts";
import { messageOf, rebootNow } from "../linux/index.ts";
import { type Login1Client, ROOT } from "./client.ts";
import { CommandError, reasonOf, saying } from "./errors.ts";
import { refuseIfInhibited } from "./inhibited.ts";
import type { PowerOptions } from "./power-options.ts";
import { formatTimestamp } from "./time.ts";
import { type Run, type Verb, type VerbContext, verb, withAgent } from "./verb.ts";

/** The flags of PowerOffWithFlags and its like; see org.freedesktop.login1(5). */
const REBOOT_VIA_KEXEC = 1n << 1n;
const SKIP_INHIBITORS = 1n << 4n;

/** login1's methods, by verb. */
const SHUTDOWNS = {
  halt: "Halt",
  poweroff: "PowerOff",
  reboot: "Reboot",
  kexec: "Reboot",
} as const;
const SLEEPS = {
  sleep: "Sleep",
  suspend: "Suspend",
  hibernate: "Hibernate",
  "hybrid-sleep": "HybridSleep",
  "suspend-then-hibernate": "SuspendThenHibernate",
} as const;

type Shutdown = keyof typeof SHUTDOWNS;

const isShutdown = (name: string): name is Shutdown => Object.hasOwn(SHUTDOWNS, name);

const busErrorIs = (error: unknown, name: string) =>
  error instanceof BusError && error.errorName === `org.freedesktop.DBus.Error.${name}`;

/** What is told to everybody is login1's own words; only whether is said from here. */
async function setWallMessage({ client, options: { power } }: VerbContext): Promise<void> {
  try {
    await client.manager("SetWallMessage", "sb", ["", power.wall]);
  } catch (error) {
    say("warning", `Failed to set wall message, ignoring: ${reasonOf(error)}`);
  }
}

/** Has login1 do it, older ones as well, which know no flags or not that one. */
async function request(context: VerbContext, name: string, method: string): Promise<void> {
  const { client, options } = context;
  const { power } = options;
  // Sleep has come with its flags.
  const withFlags = method === "Sleep" ? method : `${method}WithFlags`;
  if (power.dryRun) {
    say("info", `Would execute org.freedesktop.login1.Manager ${withFlags} dbus call.`);
    return;
  }
  await setWallMessage(context);
  const skip = power.ignoreInhibitors || power.force > 0 ? SKIP_INHIBITORS : 0n;
  const skipsKexec = parseBoolean(process.env.LOGINCTL_SKIP_AUTO_KEXEC) === true;
  const kexec = name === "kexec" || (name === "reboot" && !skipsKexec) ? REBOOT_VIA_KEXEC : 0n;
  const call = (flags: bigint) => client.manager(withFlags, "t", [flags]);
  try {
    await call(kexec | skip).catch((error) => {
      if (skip === 0n || !busErrorIs(error, "InvalidArgs")) throw error;
      return call(kexec);
    });
  } catch (error) {
    const isOld = method !== "Sleep" && busErrorIs(error, "UnknownMethod");
    if (!isOld) throw new CommandError(`Call to ${method} failed: ${reasonOf(error)}`);
    const plain = client.manager(method, "b", [options.askPassword]);
    await saying(`Call to ${method} failed`, plain);
  }
}

/** Tells login1 when to go down, and says what it has made of that. */
async function schedule(context: VerbContext, name: Shutdown, when: bigint): Promise<void> {
  const { client, options } = context;
  await setWallMessage(context);
  const type = `${options.power.dryRun ? "dry-" : ""}${name}`;
  await saying(
    "Failed to schedule shutdown",
    client.manager("ScheduleShutdown", "st", [type, when]),
  );
  await showScheduled(client);
}

const PHRASES: Readonly<Record<string, string>> = {
  halt: "Shutdown",
  poweroff: "Shutdown",
  kexec: "Reboot via kexec",
  reboot: "Reboot",
};

async function showScheduled(client: Login1Client): Promise<void> {
  const found = await saying("Failed to query scheduled shutdown", client.properties(ROOT));
  const [type, due] = (found.ScheduledShutdown?.value ?? ["", 0n]) as [string, bigint];
  if (type === "") throw new CommandError("No scheduled shutdown.");
  const phrase = `${PHRASES[type] ?? type} scheduled for ${formatTimestamp(due)}`;
  say("info", `${phrase}, use 'loginctl ${type} --when=cancel' to cancel.`);
}

const cancelScheduled = (context: VerbContext) =>
  withAgent(context, async () => {
    await setWallMessage(context);
    const what = "Failed to talk to logind, shutdown hasn't been cancelled";
    await saying(what, context.client.manager("CancelScheduledShutdown"));
  });

async function listEntries({ client, output }: VerbContext): Promise<void> {
  const found = await saying("Failed to enumerate boot loader entries", client.properties(ROOT));
  const entries = ((found.BootLoaderEntries as Variant | undefined)?.value ?? []) as string[];
  if (entries.length === 0) throw new CommandError("No boot loader entries discovered.");
  for (const entry of entries) output.line(entry);
}

/** What the next boot is to be, and what the kernel is told; login1 refuses what cannot be. */
async function prepareBoot({ client, options: { power } }: VerbContext, name: Shutdown) {
  const { firmwareSetup, bootLoaderMenu: menu, bootLoaderEntry: entry, rebootArgument } = power;
  const steps: [
    wanted: boolean,
    what: string,
    method: string,
    signature: string,
    value: unknown,
  ][] = [
    [
      firmwareSetup,
      "Cannot indicate to EFI to boot into setup mode",
      ...(["SetRebootToFirmwareSetup", "b", true] as const),
    ],
    [
      menu !== undefined,
      "Cannot indicate to boot loader to enter boot loader entry menu",
      ...(["SetRebootToBootLoaderMenu", "t", menu] as const),
    ],
    [
      entry !== undefined,
      `Cannot set boot into loader entry '${entry}'`,
      ...(["SetRebootToBootLoaderEntry", "s", entry] as const),
    ],
  ];
  for (const [wanted, what, method, signature, value] of name === "kexec" ? [] : steps) {
    if (wanted) await saying(what, client.manager(method, signature, [value]));
  }
  if (rebootArgument === undefined) return;
  const set = client.manager("SetRebootParameter", "s", [rebootArgument]);
  await saying(`Cannot set reboot argument '${rebootArgument}'`, set);
}

/** @throws {CommandError} if there is no kernel to go on with */
function requireKexecKernel(force: number): void {
  let loaded: string;
  try {
    loaded = readFileSync("/sys/kernel/kexec_loaded", "utf8").trim();
  } catch (error) {
    loaded = messageOf(error);
  }
  if (loaded === "1") return;
  if (force === 0) {
    throw new CommandError(
      "No kexec kernel is loaded: load one by 'kexec --load', or reboot without by 'loginctl kexec --force'.",
    );
  }
  say("info", "No kexec kernel is loaded, continuing without.");
}

/** Whether what stands against it is looked for first. */
const isCareful = ({ force, ignoreInhibitors, when }: PowerOptions) =>
  force === 0 && !ignoreInhibitors && when === undefined;

const shutdownVerb =
  (name: Shutdown): Run =>
  async (context) => {
    const { client, options } = context;
    const { power } = options;
    if (power.asked === "cancel") return cancelScheduled(context);
    if (power.asked === "show") return showScheduled(client);
    if (isCareful(power)) await refuseIfInhibited(client, "shutdown", name);
    if (name === "kexec") requireKexecKernel(power.force);
    await withAgent(context, async () => {
      await prepareBoot(context, name);
      if (power.when !== undefined) return schedule(context, name, power.when);
      await request(context, name, SHUTDOWNS[name]);
    });
  };

const sleepVerb =
  (name: keyof typeof SLEEPS): Run =>
  async (context) => {
    const { power } = context.options;
    if (power.asked !== undefined || power.when !== undefined) {
      throw new CommandError(`Scheduling not supported for this action: ${name} is done at once.`);
    }
    if (isCareful(power)) await refuseIfInhibited(context.client, "sleep", name);
    await withAgent(context, () => request(context, name, SLEEPS[name]));
  };

/** All of these verbs by name. */
export const POWER_VERBS: Readonly<Record<string, Verb>> = Object.fromEntries([
  ...Object.keys(SHUTDOWNS).map((name) => [
    ...[name, verb("nothing", 0, 0, shutdownVerb(name as Shutdown))],
  ]),
  ...Object.keys(SLEEPS).map((name) => [
    ...[name, verb("nothing", 0, 0, sleepVerb(name as keyof typeof SLEEPS))],
  ]),
]);

/** What is done by an option alone, whatever the verb; undefined if there is no such option. */
export function askedAlone(name: string | undefined, { options }: Pick<VerbContext, "options">) {
  const { asked } = options.power;
  if (asked === "entries") return listEntries;
  if (name !== undefined) return undefined;
  if (asked === "cancel") return cancelScheduled;
  return asked === "show" ? ({ client }: VerbContext) => showScheduled(client) : undefined;
}

/**
 * Ends the machine by the kernel alone, where --force is given twice: for when nobody serves login1.
 *
 * @returns whether that was asked for, which in earnest is not known any more
 * @throws {CommandError} if the kernel refuses
 */
export function endAtOnce(name: string, { options }: Pick<VerbContext, "options">): boolean {
  const { power } = options;
  if (power.force < 2 || !isShutdown(name) || name === "kexec") return false;
  if (process.geteuid?.() !== 0) throw new CommandError("Need to be root.");
  say("info", { halt: "Halting.", poweroff: "Powering off.", reboot: "Rebooting." }[name]);
  if (power.dryRun) return true;
  try {
    rebootNow(name);
  } catch (error) {
    throw new CommandError(`Failed to ${name}: ${messageOf(error)}`);
  }
  return true;
}
