/** What `lainos-notifyd status` shows of the state file, and what `wait` waits for in it. */
import { columns, Failure, visible } from "../../cli/index.ts";
import { hasCode, LONGEST_TIMEOUT, localTime, now } from "../../linux/index.ts";
import { isAlive } from "../state/entry.ts";
import { type Entry, readState, watchState } from "../state/state-file.ts";

const HEADER = ["SERVICE", "PID", "STATE", "SINCE", "WATCHDOG", "FDS", "STATUS"];

/** Senders as they are now: of a process that has ended since nothing but its end is true. */
function readNow(file: string, service: string | undefined): Entry[] {
  const entries = readState(file);
  if (!entries) throw new Failure(`${file} is not there: start lainos-notifyd`);
  return entries
    .filter((entry) => service === undefined || entry.service === service)
    .flatMap((entry) => {
      if (entry.pid === undefined || isAlive(entry)) return [entry];
      const { pid: _, startTime: __, ...rest } = entry;
      return entry.service === undefined ? [] : [{ ...rest, state: "ended" as const }];
    });
}

/** The table, each line as long as it is. */
export const table = (entries: readonly Entry[]): string =>
  columns([HEADER, ...entries.map(row)]).join("\n");

/** A sender's cells. Its words cannot have a control character in them, so no column can be forged. */
function row(entry: Entry): string[] {
  const { service, pid, command, uid, state, since, fds } = entry;
  const name = service ?? `(${command}, uid ${uid})`;
  const cells = [name, pid ?? "-", state, moment(since), watchdog(entry), fds, words(entry)];
  return cells.map((cell) => visible(String(cell)).replaceAll("\t", "\\x09"));
}

function moment(microseconds: number): string {
  const { year, month, day, hour, minute, second } = localTime(
    BigInt(Math.trunc(microseconds)) / 1_000_000n,
  );
  const two = (value: number) => String(value).padStart(2, "0");
  return `${year}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}:${two(second)}`;
}

function watchdog({ watchdogUsec, watchdogMissed }: Entry): string {
  if (watchdogMissed) return "missed";
  return watchdogUsec ? `${watchdogUsec / 1_000_000} s` : "-";
}

/** The status, and what went wrong after it. */
function words({ status, errno, busError, varlinkError, exitStatus }: Entry): string {
  const failures = [
    errno ? `errno ${errno}` : undefined,
    busError,
    varlinkError,
    exitStatus ? `exit status ${exitStatus}` : undefined,
  ].filter((part) => part !== undefined);
  const failure = failures.length > 0 ? `[${failures.join(", ")}]` : "";
  return [status ?? "", failure].filter(Boolean).join(" ") || "-";
}

/** One line of JSON, in which a terminal finds nothing to obey either: C1 and the like are escaped too. */
const json = (entries: readonly Entry[]) =>
  JSON.stringify(entries).replace(
    /[\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

/** What `status` prints once, without the newline at its end. */
export function statusText(file: string, service: string | undefined, asJson: boolean): string {
  const entries = readNow(file, service);
  if (asJson) return json(entries);
  if (entries.length === 0 && service !== undefined) {
    throw new Failure(
      `${service} has said nothing: it may not know sd_notify, or have no NOTIFY_SOCKET`,
    );
  }
  return table(entries);
}

/**
 * Calls `print` with the text now and whenever it is another.
 *
 * @throws {Failure} if there is nothing to read, now or later; it does not return otherwise
 */
export async function watchStatus(
  file: string,
  service: string | undefined,
  asJson: boolean,
  print: (text: string) => void,
): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  let last: string | undefined;
  const look = guard(reject, () => {
    const entries = readNow(file, service);
    const text = asJson ? json(entries) : table(entries);
    if (text !== last) print(text);
    last = text;
  });
  const endWatch = watchOrFail(file, look);
  look();
  try {
    return await promise;
  } finally {
    endWatch();
  }
}

/** A watch's callback must not throw: what goes wrong in it ends the wait. */
const guard = (reject: (error: unknown) => void, work: () => void) => () => {
  try {
    work();
  } catch (error) {
    reject(error);
  }
};

function watchOrFail(file: string, changed: () => void): () => void {
  try {
    return watchState(file, changed);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    throw new Failure(`the folder of ${file} is not there: start lainos-notifyd`);
  }
}

/**
 * Waits until a service is ready. What a run before said does not count, since its process is gone.
 *
 * @param seconds how long; EXTEND_TIMEOUT_USEC of the service makes it longer
 * @throws {Failure} if the time is up, or the service says that it is stopping
 */
export async function waitForReady(file: string, service: string, seconds: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const deadline = Number(now().monotonic) + seconds * 1_000_000;
  let timer: Timer | undefined;
  const look = guard(reject, () => {
    clearTimeout(timer);
    const entry = readState(file)?.find((one) => one.service === service);
    if (entry?.state === "ready" && (entry.pid === undefined || isAlive(entry))) return resolve();
    if (entry?.state === "stopping" && isAlive(entry)) {
      return reject(new Failure(`${service}: stopping before it was ready: ${words(entry)}`));
    }
    const until = Math.max(deadline, entry && isAlive(entry) ? (entry.extendedUntil ?? 0) : 0);
    const left = until - Number(now().monotonic);
    if (left <= 0) {
      const last = entry?.status === undefined ? "" : `; its last words: ${entry.status}`;
      return reject(new Failure(`${service}: not ready after ${seconds} seconds${last}`));
    }
    // One wake-up at the end of the time, and none before.
    timer = setTimeout(look, Math.min(Math.ceil(left / 1000), LONGEST_TIMEOUT));
  });
  const endWatch = watchOrFail(file, look);
  look();
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    endWatch();
  }
}
