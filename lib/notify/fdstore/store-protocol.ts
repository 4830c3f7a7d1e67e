/**
 * How a service gets back what it had kept: a stream socket, one request a connection. The request
 * is a line of JSON, and so is each answer; the descriptors come along with the answer that names
 * them, in the same order.
 */

export const DEFAULT_STORE = "/run/lainos/fdstore";

/** The longest request, in bytes. */
export const MOST_REQUEST = 1024;

/** So many descriptors come with one answer; SCM_MAX_FD of the kernel is 253. */
export const PER_ANSWER = 128;

export interface Request {
  /** Fetch sends duplicates of what is kept, which stays; list only the names. */
  do: "fetch" | "list" | "remove";
  /** Whose; only root may name another's than its own. */
  service?: string;
  /** Only those of this name. */
  name?: string;
}

/** One answer; the last has no `more`. `removed` says how many there were. */
export type Answer =
  | { service: string; names: string[]; more?: true; removed?: number }
  | { error: string };

/**
 * Reads a request.
 *
 * @returns undefined if it is none
 */
export function parseRequest(line: string): Request | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { do: what, service, name } = value as Record<string, unknown>;
  if (what !== "fetch" && what !== "list" && what !== "remove") return undefined;
  if (service !== undefined && typeof service !== "string") return undefined;
  if (name !== undefined && typeof name !== "string") return undefined;
  return {
    do: what,
    ...(service !== undefined && { service }),
    ...(name !== undefined && { name }),
  };
}
