/**
 * What an earlier daemon wrote down, as far as it is true still. The file may be damaged: each entry is
 * held against the kernel's and OpenRC's word on its process, so that nothing is put down to a service
 * or a user whose it is not, and an entry that is damaged costs no other one.
 */
import type { Logger } from "../../cli/index.ts";
import { messageOf } from "../../linux/index.ts";
import { realtime } from "../state/entry.ts";
import { type Entry, type FoundEntry, findEntries } from "../state/state-file.ts";
import type { SenderProcess, ServiceLookup } from "./service-of-process.ts";

/** Reads the entries of the file, each with a process that is there or without one. */
export function restoreEntries(file: string, lookup: ServiceLookup, log: Logger): Entry[] {
  let found: FoundEntry[];
  try {
    found = findEntries(file) ?? [];
  } catch (error) {
    log.warning(`${messageOf(error)}: starting without it`);
    return [];
  }
  const services = new Map<string, Entry>();
  const others: Entry[] = [];
  for (const [index, one] of found.entries()) {
    const entry = restoreOne(one, lookup);
    const name = one.entry.service ?? `the sender at place ${index + 1}`;
    if (one.damaged.length > 0) {
      const loss = entry ? "that is left out" : "it is forgotten";
      log.warning(`${file}: ${name}: damaged: ${one.damaged.join(", ")}: ${loss}`);
    }
    if (!entry) continue;
    if (entry.service !== one.entry.service) {
      log.warning(`${file}: ${name}: taken for ${entry.service}, whose main process it names`);
    }
    if (entry.service === undefined) others.push(entry);
    else {
      const other = services.get(entry.service);
      if (other) log.warning(`${file}: ${entry.service} is in it more than once`);
      // The one whose process is there is the truth.
      if (!other || (other.pid === undefined && entry.pid !== undefined)) {
        services.set(entry.service, entry);
      }
    }
  }
  return [...services.values(), ...others];
}

/** What is true of one entry; undefined if nothing of use is. */
function restoreOne(found: FoundEntry, lookup: ServiceLookup): Entry | undefined {
  const noted = found.entry;
  const running = noted.pid === undefined ? undefined : processOf(noted.pid, lookup);
  const isSame = running !== undefined && String(running.startTime) === noted.startTime;
  const service = serviceOf(noted, isSame ? running : undefined, lookup);
  const main = service === undefined ? undefined : mainOf(service, noted, lookup);
  const process = service === undefined ? (isSame ? running : undefined) : main;
  const command = noted.command ?? process?.command;
  const uid = service === undefined ? noted.uid : userOf(noted.uid, process);
  if (command === undefined || uid === undefined) return undefined;
  if (service === undefined) {
    const wasService = noted.service !== undefined || found.damaged.includes("service");
    if (wasService || !process?.uids.includes(uid) || process.service !== undefined) {
      return undefined;
    }
  }
  const { pid: _, startTime: __, service: ___, ...rest } = noted;
  return {
    ...rest,
    ...(service !== undefined && { service }),
    ...(process && { pid: process.pid, startTime: String(process.startTime) }),
    command,
    uid,
    state: noted.state ?? "starting",
    since: noted.since ?? realtime(),
    fds: noted.fds ?? 0,
  };
}

/** The user by whom a service spoke: one of its process's own, or root, who may say anything. */
function userOf(uid: number | undefined, process: SenderProcess | undefined): number | undefined {
  const isOne = uid !== undefined && (uid === 0 || !process || process.uids.includes(uid));
  return isOne ? uid : process?.uids[0];
}

/** A process as it is now, whoever runs it. */
const processOf = (pid: number, lookup: ServiceLookup): SenderProcess | undefined =>
  lookup.find({ pid, uid: 0, gid: 0 });

/** The service that an entry is of: the one that it names, or that whose main process it is of. */
function serviceOf(
  { service: named, told }: Partial<Entry>,
  running: SenderProcess | undefined,
  lookup: ServiceLookup,
): string | undefined {
  const own = running?.service;
  const isNamed = named !== undefined && lookup.isService(named);
  // Root may have named a main process that is of no service, but no other service's.
  if (isNamed && (running === undefined || own === named || (told && own === undefined))) {
    return named;
  }
  const isMain = own !== undefined && lookup.mainOf(own)?.pid === running?.pid;
  if (isMain) return own;
  // What ran then is another's by now.
  return isNamed ? named : undefined;
}

/**
 * The main process that an entry of a service names. Where the half of what identifies it is damaged,
 * it is the one that OpenRC knows, if the other half fits.
 */
function mainOf(
  service: string,
  noted: Partial<Entry>,
  lookup: ServiceLookup,
): SenderProcess | undefined {
  const { pid, startTime, told } = noted;
  const isOf = (process: SenderProcess | undefined) =>
    process?.service === service || (told && process?.service === undefined);
  const running = pid === undefined ? undefined : processOf(pid, lookup);
  if (running && String(running.startTime) === startTime && isOf(running)) return running;
  if (pid === undefined && startTime === undefined) return undefined;
  const known = lookup.mainOf(service);
  if (!known) return undefined;
  const fits = startTime === undefined ? known.pid === pid : String(known.startTime) === startTime;
  return fits ? processOf(known.pid, lookup) : undefined;
}
