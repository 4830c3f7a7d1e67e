/** The repositories over HTTP, for a pacman on this machine or in its network. */
import { realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { HostError } from "../host.ts";
import { ARCHITECTURE, REPOSITORIES } from "./repository.ts";

export interface ServeOptions {
  /** The folder that `bun run repo` made. */
  readonly root: string;
  readonly port: number;
  readonly hostname: string;
}

/** /REPOSITORY/x86_64/FILE and nothing else: such a name cannot lead out of the folder. */
const PATH = new RegExp(`^/(${REPOSITORIES.join("|")})/${ARCHITECTURE}/([\\w@+:][\\w@.+:-]*)$`);

/**
 * Serves until it is stopped. Each request is answered from the state that the link leads to then.
 * @throws HostError where the port cannot be had.
 */
export function serve({ root, port, hostname }: ServeOptions): Bun.Server<undefined> {
  try {
    return Bun.serve({ port, hostname, fetch: (request) => answer(request, root) });
  } catch (error) {
    throw new HostError(
      `cannot listen on ${hostname}:${port} (${(error as Error).message}): name another by --port`,
    );
  }
}

async function answer(request: Request, root: string): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response(null, { status: 405, headers: { allow: "GET, HEAD" } });
  }
  const path = decoded(new URL(request.url).pathname);
  const [, repository, name] = PATH.exec(path ?? "") ?? [];
  if (repository === undefined || name === undefined) return notFound();
  // Without the links, so that the file stays one file while it is sent.
  const file = await realpath(join(root, repository, ARCHITECTURE, name)).catch(() => undefined);
  const found = file === undefined ? undefined : await stat(file);
  if (file === undefined || !found?.isFile()) return notFound();

  const modified = Math.floor(found.mtimeMs / 1000) * 1000;
  const headers = new Headers({
    "accept-ranges": "bytes",
    "content-type": "application/octet-stream",
    "last-modified": new Date(modified).toUTCString(),
  });
  const since = Date.parse(request.headers.get("if-modified-since") ?? "");
  if (since >= modified) return new Response(null, { status: 304, headers });

  const range = request.headers.get("range");
  const part = range === null ? undefined : parseRange(range, found.size);
  if (part === "unsatisfiable") {
    headers.set("content-range", `bytes */${found.size}`);
    return new Response(null, { status: 416, headers });
  }
  const { start, end } = part ?? { start: 0, end: found.size };
  headers.set("content-length", String(end - start));
  if (part !== undefined) headers.set("content-range", `bytes ${start}-${end - 1}/${found.size}`);
  const body = request.method === "HEAD" ? null : Bun.file(file).slice(start, end);
  return new Response(body, { status: part === undefined ? 200 : 206, headers });
}

function notFound(): Response {
  return new Response("there is no such file\n", { status: 404 });
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

/**
 * The one range that curl asks for when it goes on with a broken download (RFC 9110, 14.1.2).
 * @returns the bytes from start up to but without end; undefined for what is to be passed over.
 */
function parseRange(
  range: string,
  size: number,
): { start: number; end: number } | "unsatisfiable" | undefined {
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(range) ?? [];
  if (first === "" && last === "") return undefined;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
  return start >= size || start >= end ? "unsatisfiable" : { start, end };
}
