/** What one sender's words change in its entry. */
import { now, startTimeOf } from "../../linux/index.ts";
import type { Notification } from "../protocol/notification.ts";
import type { Entry } from "./state-file.ts";

/** Microseconds since the epoch; a number is exact until the year 2255. */
export const realtime = () => Number(now().realtime);

/** Whether the process of an entry is still there. */
export const isAlive = ({ pid, startTime }: Entry): boolean =>
  pid !== undefined && String(startTimeOf(pid)) === startTime;

/** An entry for who has said nothing yet. */
export const newEntry = (command: string, uid: number, service?: string): Entry => ({
  ...(service !== undefined && { service }),
  command,
  uid,
  state: "starting",
  since: realtime(),
  fds: 0,
});

/** Puts what concerns any sender into its entry. */
export function record(entry: Entry, said: Notification): void {
  // Since systemd 259 nothing comes after STOPPING=1 but the end.
  if (said.state !== undefined && entry.state !== "stopping" && said.state !== entry.state) {
    entry.state = said.state;
    entry.since = realtime();
    entry.extendedUntil = undefined;
  }
  if (said.state === "reloading" && said.monotonicUsec !== undefined) {
    entry.reloadBegan = Number(said.monotonicUsec);
  }
  if (said.status !== undefined) entry.status = said.status === "" ? undefined : said.status;
  if (said.errno !== undefined) entry.errno = said.errno;
  if (said.busError !== undefined) entry.busError = said.busError;
  if (said.varlinkError !== undefined) entry.varlinkError = said.varlinkError;
  if (said.exitStatus !== undefined) entry.exitStatus = said.exitStatus;
  if (said.extendUsec !== undefined) {
    entry.extendedUntil = Number(now().monotonic + said.extendUsec);
  }
}
