/** What the kernel says of the bridge's process: counts, which do not depend on how busy the machine is. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What the process holds. */
export interface Held {
  descriptors: number;
  /** inotify watches. */
  watches: number;
}

/** What the process has done since it began. */
export interface Work {
  /** read(2), write(2) and their like. */
  calls: number;
  /** In bytes. */
  written: number;
  /** Processor time in clock ticks, of 10 ms as a rule. */
  ticks: number;
}

export function heldBy(pid: number): Held {
  const folder = `/proc/${pid}/fd`;
  const fds = readdirSync(folder);
  const inotify = fds.filter((fd) => readlinkSync(`${folder}/${fd}`).includes("inotify"));
  const watches = inotify.flatMap(
    (fd) => readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8").match(/^inotify /gm) ?? [],
  );
  return { descriptors: fds.length, watches: watches.length };
}

export function workOf(pid: number): Work {
  const io = readFileSync(`/proc/${pid}/io`, "utf8");
  const value = (key: string) => Number(new RegExp(`^${key}: (\\d+)$`, "m").exec(io)?.[1]);
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    calls: value("syscr") + value("syscw"),
    written: value("wchar"),
    ticks: Number(fields[11]) + Number(fields[12]),
  };
}

/** Memory that is the process's own and in no file (RssAnon in proc(5)), in KiB. */
export function anonymous(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]);
}
