/** Downloads of `bun run repo`, from a server of the test's own. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { $ } from "zx";
import type { Recipe } from "../../scripts/repo/recipe.ts";
import { ensureSources, Unreachable } from "../../scripts/repo/sources.ts";
import { removeAll, scratch } from "./support.ts";

const must = $({ quiet: true });
const sumOf = (bytes: string) => createHash("sha256").update(bytes).digest("hex");

const sockets: Socket[] = [];
const servers: Server[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});
afterAll(removeAll);

/** A server whose answer to a request is what `answer` writes. @returns the file's URL. */
async function serve(answer: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => socket.destroy());
    socket.once("data", () => answer(socket));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}/s-1`;
}

const head = (length: number) => `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`;

/** Serves some bytes and counts how often. */
async function serveBytes(bytes: string) {
  const asked = { times: 0 };
  const url = await serve((socket) => {
    asked.times += 1;
    socket.end(`${head(bytes.length)}${bytes}`);
  });
  return { url, asked };
}

function recipe(url: string, sum: string): Recipe {
  const none = { packages: ["s"], arch: [], license: [], depends: [], makedepends: [] };
  const more = { provides: [], conflicts: [], backup: [], install: undefined };
  return {
    ...{ ...none, ...more, name: "s", version: "1-1", folder: "/nowhere" },
    ...{ sources: [url], sha256sums: [sum] },
  };
}

/** Takes the source of that URL into a folder. */
function take(folder: string, url: string, sum = "SKIP", patience = 20_000) {
  const { signal } = new AbortController();
  return ensureSources(recipe(url, sum), folder, () => {}, signal, patience);
}

/** What this process has open in a folder. */
async function openIn(folder: string): Promise<string[]> {
  const links = (await readdir("/proc/self/fd")).map((fd) =>
    readlink(`/proc/self/fd/${fd}`).catch(() => ""),
  );
  return (await Promise.all(links)).filter((path) => path.startsWith(folder));
}

/** Takes it in vain. @returns the error; nothing of the file is left or open then. */
async function fail(url: string, patience?: number): Promise<Error> {
  const folder = await scratch();
  const error = await take(folder, url, "SKIP", patience).then(
    () => undefined,
    (thrown: Error) => thrown,
  );
  if (error === undefined) throw new Error("it was taken");
  expect(await readdir(folder)).toEqual([]);
  expect(await openIn(folder)).toEqual([]);
  return error;
}

describe("what was downloaded before", () => {
  test("is taken with the right checksum, and with none, and nobody is asked", async () => {
    const { url, asked } = await serveBytes("new");
    const folder = await scratch();
    await writeFile(join(folder, "s-1"), "kept");
    for (const sum of [sumOf("kept"), "SKIP"]) {
      expect(await take(folder, url, sum)).toEqual([join(folder, "s-1")]);
    }
    expect(asked.times).toBe(0);
    expect(await readFile(join(folder, "s-1"), "utf8")).toBe("kept");
  });

  test("is downloaded again where the PKGBUILD has another checksum by now", async () => {
    const { url, asked } = await serveBytes("new");
    const folder = await scratch();
    await writeFile(join(folder, "s-1"), "old");
    for (let times = 0; times < 2; times++) await take(folder, url, sumOf("new"));
    expect(asked.times).toBe(1);
    expect(await readFile(join(folder, "s-1"), "utf8")).toBe("new");
  });

  test("stays where the server has something else still", async () => {
    const { url } = await serveBytes("other");
    const folder = await scratch();
    await writeFile(join(folder, "s-1"), "old");
    await expect(take(folder, url, sumOf("new"))).rejects.toThrow(
      `${url} is not what the PKGBUILD expects: its SHA-256 is ${sumOf("other")}`,
    );
    expect(await readdir(folder)).toEqual(["s-1"]);
  });
});

describe("a place that", () => {
  test("breaks off in the middle is unreachable", async () => {
    const url = await serve((socket) => {
      socket.write(`${head(1000)}some`, () => setTimeout(() => socket.resetAndDestroy(), 100));
    });
    const error = await fail(url);
    expect(error).toBeInstanceOf(Unreachable);
    expect(error.message).toStartWith(`source unreachable: ${url} (`);
  });

  test("ends before its whole length is unreachable", async () => {
    const url = await serve((socket) => socket.end(`${head(1000)}some`));
    expect(await fail(url)).toBeInstanceOf(Unreachable);
  });

  test("says nothing is waited for no longer than the limit", async () => {
    const error = await fail(await serve(() => {}), 300);
    expect(error).toBeInstanceOf(Unreachable);
    expect(error.message).toEndWith("(no answer for 0.3 seconds)");
  });

  test("stalls in the middle is waited for no longer than the limit", async () => {
    const error = await fail(await serve((socket) => socket.write(`${head(1000)}some`)), 300);
    expect(error).toBeInstanceOf(Unreachable);
    expect(error.message).toEndWith("(no answer for 0.3 seconds)");
  });

  test("is slow, and goes on, is waited for to the end", async () => {
    const pieces = ["one ", "two ", "three ", "four ", "five ", "six "];
    const whole = pieces.join("");
    const url = await serve(async (socket) => {
      socket.write(head(whole.length));
      for (const piece of pieces) {
        await Bun.sleep(500);
        socket.write(piece);
      }
      socket.end();
    });
    const folder = await scratch();
    // A fraction of what all of it takes, and much more than a piece does.
    await take(folder, url, sumOf(whole), 2_000);
    expect(await readFile(join(folder, "s-1"), "utf8")).toBe(whole);
    expect(await openIn(folder)).toEqual([]);
  });
});

test("a signal ends a download in the middle, with its own reason", async () => {
  const controller = new AbortController();
  const reason = new Error("the test's reason");
  const url = await serve((socket) => {
    socket.write(`${head(1000)}some`, () => setTimeout(() => controller.abort(reason), 100));
  });
  const folder = await scratch();
  const taking = ensureSources(recipe(url, "SKIP"), folder, () => {}, controller.signal);
  expect(await taking.catch((error: Error) => error)).toBe(reason);
  expect([await readdir(folder), await openIn(folder)]).toEqual([[], []]);
});

test("a full disk is no fault of the place, and the connection ends", async () => {
  const folder = join(await scratch(), "small");
  await mkdir(folder);
  await must`mount -t tmpfs -o size=64k tmpfs ${folder}`;
  try {
    const closed = Promise.withResolvers<void>();
    const bytes = "x".repeat(4_000_000);
    const url = await serve((socket) => {
      socket.once("close", () => closed.resolve());
      socket.write(`${head(2 * bytes.length)}${bytes}`);
    });
    const error = await take(folder, url).catch((thrown: NodeJS.ErrnoException) => thrown);
    expect(error).toMatchObject({ code: "ENOSPC" });
    await closed.promise;
    expect([await readdir(folder), await openIn(folder)]).toEqual([[], []]);
  } finally {
    await must`umount ${folder}`;
  }
});
