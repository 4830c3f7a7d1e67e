import { describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { join } from "node:path";
import { addressOfPath, parseAddresses } from "../../lib/dbus/index.ts";
import { close, listenStream } from "../../lib/linux/index.ts";
import { busAnswers, findSessionBus } from "../../lib/session/bus.ts";
import { checkRuntimeFolder } from "../../lib/session/runtime-folder.ts";
import { afterwards, cleanUp, folder, nobody, runtimeFolder, systemBus } from "./support.ts";

cleanUp();

/** The socket of the tests' system bus. */
function socketOf(addresses: string): string {
  const [first] = parseAddresses(addresses);
  return first && "socket" in first ? first.socket : "";
}

describe("a bus that answers", () => {
  test("does, and one that refuses us, is dead, silent or no bus does not", async () => {
    const path = socketOf(await systemBus());
    expect(await busAnswers(path, 0)).toBe(true);
    // We are root: the bus sees that we claim to be somebody else.
    expect(await busAnswers(path, nobody.uid)).toBe(false);

    const dead = join(folder(), "bus");
    close(listenStream(dead));
    expect(await busAnswers(dead, 0)).toBe(false);
    expect(await busAnswers(join(folder(), "none"), 0)).toBe(false);

    const silent = join(folder(), "bus");
    const server = createServer(() => {}).listen(silent);
    afterwards(() => void server.close());
    expect(await busAnswers(silent, 0, 50)).toBe(false);

    const web = join(folder(), "bus");
    const other = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    other.listen(web);
    afterwards(() => void other.close());
    expect(await busAnswers(web, 0)).toBe(false);
  });

  test("is taken from the variable first, then from the runtime folder", async () => {
    const address = await systemBus();
    const path = socketOf(address);
    const found = { address, started: undefined };
    expect(await findSessionBus(address, folder(), 0)).toEqual(found);
    const list = `unix:path=/nowhere;${address}`;
    expect(await findSessionBus(list, folder(), 0)).toEqual({ address: list, started: undefined });
    const where = path.replace(/\/bus$/, "");
    const own = { address: addressOfPath(path), started: undefined };
    expect(await findSessionBus("unix:path=/nowhere", where, 0)).toEqual(own);
    expect(await findSessionBus(undefined, where, 0)).toEqual(own);
    expect(await findSessionBus(undefined, folder(), 0)).toBeUndefined();
  });
});

describe("the runtime folder", () => {
  test("is the user's alone", () => {
    const good = runtimeFolder();
    expect(checkRuntimeFolder(good, nobody.uid)).toBe(good);
    const refused = (path: string, uid: number, why: string) =>
      expect(() => checkRuntimeFolder(path, uid)).toThrow(`the runtime folder ${path} ${why}`);
    refused(good, 4711, `belongs to uid ${nobody.uid}, not to 4711`);
    refused("/nowhere", 4711, "does not exist (is lainos-dbus-bridge running?");
    refused("/etc/passwd", 0, "is not a folder");
    refused("run", 0, "is not an absolute path");
    const open = runtimeFolder(0o755);
    refused(open, nobody.uid, "has mode 0755, not 0700");
    expect(() => checkRuntimeFolder("", 4711)).toThrow("/run/user/4711 does not exist");
  });
});
