/** What `lainos-notifyd status` and `wait` make of the state file. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { quietFor } from "../../support/until.ts";
import {
  COMMAND,
  cleanUp,
  later,
  newFolder,
  newName,
  newRoot,
  notifyd,
  Service,
  start,
} from "../support/world.ts";

setDefaultTimeout(60_000);
afterEach(cleanUp);

/** A daemon with a root of its own. */
async function world() {
  const root = newRoot();
  const socket = join(newFolder(), "notify");
  return { root, socket, daemon: await start(socket, "--root", root) };
}

describe("status and wait", () => {
  test("--watch prints each change once", async () => {
    const { root, socket, daemon } = await world();
    const service = new Service(root, newName());
    const main = await service.process(socket);
    service.notePid(main.pid);
    await main.tell('send(b"STATUS=one"); barrier()');
    const watch = Bun.spawn(
      ["bun", COMMAND, "status", "--watch", "--json", "--state", daemon.state],
      { stdout: "pipe" },
    );
    later(async () => {
      watch.kill("SIGKILL");
      await watch.exited;
    });
    const reader = watch.stdout.getReader();
    const next = async () => Buffer.from((await reader.read()).value ?? []).toString();
    expect(await next()).toContain('"status":"one"');
    await main.tell('send(b"STATUS=two"); barrier()');
    expect(await next()).toContain('"status":"two"');
    watch.kill("SIGTERM");
    expect(await watch.exited).toBe(0);
  });

  test("wait ends with READY=1, and not with that of a run before", async () => {
    const { root, socket, daemon } = await world();
    const service = new Service(root, newName());
    const first = await service.process(socket);
    service.notePid(first.pid);
    await first.tell('send(b"READY=1"); barrier()');
    const wait = (...more: string[]) =>
      notifyd("wait", service.name, "--ready", "--state", daemon.state, ...more);
    expect(wait().status).toBe(0);
    await first.end();
    const late = wait("--timeout", "0.2");
    expect(late).toMatchObject({
      status: 1,
      errors: expect.stringContaining("not ready after 0.2"),
    });
    expect(wait("--timeout", "soon").status).toBe(2);

    const second = await service.process(socket);
    service.notePid(second.pid);
    const waiting = Bun.spawn([
      "bun",
      COMMAND,
      "wait",
      service.name,
      "--timeout",
      "20",
      "--state",
      daemon.state,
    ]);
    await second.tell('send(b"STATUS=soon"); barrier(); send(b"READY=1"); barrier()');
    expect(await waiting.exited).toBe(0);
    await second.tell('send(b"STOPPING=1\\nSTATUS=bad disk"); barrier()');
    expect(wait().errors).toContain("stopping before it was ready: bad disk");
  });

  test("a service may ask for more time", async () => {
    const { root, socket, daemon } = await world();
    const service = new Service(root, newName());
    const main = await service.process(socket);
    service.notePid(main.pid);
    await main.tell('send(b"EXTEND_TIMEOUT_USEC=20000000"); barrier()');
    const waiting = Bun.spawn([
      "bun",
      COMMAND,
      "wait",
      service.name,
      "--timeout",
      "0.001",
      "--state",
      daemon.state,
    ]);
    await quietFor(500, "it ends, as it would had it not looked at what was asked for");
    await main.tell('send(b"READY=1"); barrier()');
    expect(await waiting.exited).toBe(0);
  });

  test("names what is missing", async () => {
    const { daemon } = await world();
    const nobody = notifyd("status", "nobody", "--state", daemon.state);
    expect(nobody).toMatchObject({
      status: 1,
      errors: expect.stringContaining("has said nothing"),
    });
    const none = notifyd("status", "--state", "/nowhere/state.json");
    expect(none).toMatchObject({
      status: 1,
      errors: expect.stringContaining("start lainos-notifyd"),
    });
    expect(notifyd("wait", "x", "--state", "/nowhere/state.json").errors).toContain(
      "start lainos-notifyd",
    );
  });
});
