/** The form of a datagram to the notify socket; what it means is in notification.ts. See sd_notify(3). */

/** One `NAME=VALUE` line. */
export interface Assignment {
  name: string;
  value: string;
}

/** A datagram, taken apart. */
export type Datagram =
  /** What a service says of itself; `ignored` says what of it cannot be used, if there is such. */
  | { kind: "assignments"; assignments: Assignment[]; ignored?: string }
  /** sd_notify_barrier(3): the closing of its one descriptor is the answer. */
  | { kind: "barrier" }
  /** Not to be acted on; `why` says what is wrong, in words after "a datagram that". */
  | { kind: "bad"; why: string };

/** The longest datagram, in bytes; systemd's NOTIFY_BUFFER_MAX, which is PIPE_BUF. */
export const MOST_BYTES = 4096;

/** Names are those of environment variables: sd_notify(3) calls its text "environment-block-like". */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

const decoder = new TextDecoder("utf-8", { fatal: true });

const bad = (why: string): Datagram => ({ kind: "bad", why });

/**
 * Reads a datagram as systemd's PID 1 does: newline separated assignments, empty lines without
 * meaning, one NUL at the end allowed and none elsewhere, and BARRIER=1 only by itself with exactly
 * one descriptor. A line that is no assignment, or not UTF-8, is left out and the rest counts: a
 * STATUS in another encoding must not cost a service its READY=1.
 *
 * @param data the bytes
 * @param descriptors how many descriptors came along; undefined if there were some and nobody counted
 * @param cut whether the datagram was longer than what was read of it
 */
export function parseDatagram(
  data: Uint8Array,
  descriptors: number | undefined,
  cut = false,
): Datagram {
  if (cut || data.length > MOST_BYTES) return bad(`is longer than ${MOST_BYTES} bytes`);
  if (data.length === 0) return bad("is empty");
  const bytes = data.at(-1) === 0 ? data.subarray(0, -1) : data;
  if (bytes.includes(0)) return bad("has a NUL byte in it");
  const { text, whole } = decode(bytes);
  const lines = text.split("\n").filter((line) => line !== "");
  if (lines.length === 0) return bad("says nothing");
  if (lines.includes("BARRIER=1")) {
    if (lines.length > 1) return bad("has more in it than the BARRIER=1 that must be alone");
    if (descriptors !== undefined && descriptors !== 1)
      return bad(`has BARRIER=1 with ${descriptors} descriptors instead of one`);
    return { kind: "barrier" };
  }
  const assignments: Assignment[] = [];
  const ignored = new Set<string>();
  for (const line of lines) {
    const at = line.indexOf("=");
    const name = line.slice(0, Math.max(at, 0));
    if (!NAME.test(name)) ignored.add("a line that is not NAME=VALUE");
    else if (!whole && line.includes("\ufffd")) ignored.add(`${name}, which is not UTF-8`);
    else assignments.push({ name, value: line.slice(at + 1) });
  }
  if (assignments.length === 0) return bad(`has nothing in it but ${[...ignored].join(" and ")}`);
  return {
    kind: "assignments",
    assignments,
    ...(ignored.size > 0 && { ignored: [...ignored].join(" and ") }),
  };
}

/** The text, with U+FFFD for what is not UTF-8 if it is not `whole`. */
function decode(bytes: Uint8Array): { text: string; whole: boolean } {
  try {
    return { text: decoder.decode(bytes), whole: true };
  } catch {
    // There is one reason: it is fatal because it was asked to be.
    return { text: Buffer.from(bytes).toString("utf8"), whole: false };
  }
}
