/** What the kernel says of the bridge's process: counts, which do not depend on how busy the machine is. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { hasCode } from "../../lib/linux/index.ts";

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
}

export function heldBy(pid: number): Held {
  const held: Held = { descriptors: 0, watches: 0 };
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const isInotify = readlinkSync(`/proc/${pid}/fd/${fd}`).includes("inotify");
      const info = isInotify ? readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8") : "";
      held.descriptors++;
      held.watches += info.match(/^inotify /gm)?.length ?? 0;
    } catch (error) {
      // It was closed since it was listed: the process goes on meanwhile.
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }
  return held;
}

export function workOf(pid: number): Work {
  const io = readFileSync(`/proc/${pid}/io`, "utf8");
  const value = (key: string) => Number(new RegExp(`^${key}: (\\d+)$`, "m").exec(io)?.[1]);
  return {
    calls: value("syscr") + value("syscw"),
    written: value("wchar"),
  };
}

/** Memory that is the process's own and in no file (RssAnon in proc(5)), in KiB. */
export function anonymous(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]);
}
