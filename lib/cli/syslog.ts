/** The system's log, as local programs write to it: RFC 3164 without a host name; see syslog(3). */
import { close, connectDatagram, type Fd, hasCode, localTime, now, send } from "../linux/index.ts";
import type { Level } from "./log.ts";

export const DEFAULT_SYSLOG = "/dev/log";

const LOG_DAEMON = 3 << 3;
const PRIORITIES: Readonly<Record<Level, number>> = { error: 3, warning: 4, info: 6, debug: 7 };

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** `<30>Nov  4 09:05:01 NAME[12]: text`, in local time. */
export function syslogLine(name: string, pid: number, level: Level, text: string): string {
  const { month, day, hour, minute, second } = localTime(now().realtime / 1_000_000n);
  const two = (value: number) => String(value).padStart(2, "0");
  const date = `${MONTHS[month - 1]} ${String(day).padStart(2)}`;
  const time = [hour, minute, second].map(two).join(":");
  return `<${LOG_DAEMON | PRIORITIES[level]}>${date} ${time} ${name}[${pid}]: ${text}`;
}

/**
 * For `createLogger`: sends lines to the syslog daemon, and refuses those that it does not take now:
 * there is none, it is just being restarted, or its queue is full. It never waits, and each line is
 * a new try, so a daemon that comes later is found.
 *
 * @param path its datagram socket
 */
export function syslogSink(
  name: string,
  path = DEFAULT_SYSLOG,
): (level: Level, text: string) => boolean {
  let fd: Fd | undefined;
  const give = (line: Uint8Array): boolean => {
    fd ??= connectDatagram(path);
    return send(fd, line) !== undefined;
  };
  const drop = () => {
    if (fd !== undefined) close(fd);
    fd = undefined;
  };
  return (level, text) => {
    const line = Buffer.from(syslogLine(name, process.pid, level, text));
    for (const isLast of [false, true]) {
      try {
        return give(line);
      } catch (error) {
        drop();
        // The socket that we were connected to belonged to a daemon that is gone.
        const isGone = hasCode(error, "ECONNREFUSED", "ENOTCONN", "EPIPE", "ECONNRESET");
        if (!isGone || isLast) return false;
      }
    }
    return false;
  };
}
