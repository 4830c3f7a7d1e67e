import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// Each test starts several processes, which takes its time on a busy machine.
setDefaultTimeout(30_000);

const LIBRARY = join(import.meta.dir, "../../../lib/linux/index.ts");

/** Runs a program that has lib/linux as `linux`, a datagram socket `server` and a client of it. */
async function runProgram(program: string) {
  const folder = mkdtempSync(join(tmpdir(), "p7-readiness-"));
  const child = Bun.spawn(
    [
      "bun",
      "-e",
      `const linux = await import(${JSON.stringify(LIBRARY)});
const path = ${JSON.stringify(join(folder, "socket"))};
const server = linux.bindDatagram(path);
const client = linux.connectDatagram(path);
const buffer = new linux.ReceiveBuffer(100);
${program}`,
    ],
    // Only one that hangs takes so long.
    { stdout: "pipe", stderr: "inherit", timeout: 20_000 },
  );
  const out = await child.stdout.text();
  await child.exited;
  rmSync(folder, { recursive: true });
  return { out, status: child.exitCode, signal: child.signalCode };
}

test("a watch holds the process, and its end lets it go", async () => {
  const result = await runProgram(`
const sender = Bun.spawn(["python3", "-c", "import socket, sys, time; time.sleep(0.3); s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(sys.argv[1]); s.send(b'x')", path]);
sender.unref();
const end = linux.onReadiness(server, () => {
  if (linux.receive(server, buffer)) { console.log("received"); end(); }
});`);
  expect(result).toEqual({ out: "received\n", status: 0, signal: null });
});

test("what arrives after the last watch has ended does no harm", async () => {
  const result = await runProgram(`
linux.onReadiness(server, () => {})();
for (let count = 0; count < 5; count++) linux.send(client, Buffer.from("x"));
console.log("alive");`);
  expect(result).toEqual({ out: "alive\n", status: 0, signal: null });
});

test("a drain that throws is told of, and both it and the others are called again", async () => {
  const { out, status } = await runProgram(`
    const failures = [];
    linux.reportFailures((error) => failures.push(error.message));
    let count = 0;
    const [one, other] = linux.socketPair();
    let heard = 0;
    linux.onReadiness(other, () => { while (linux.receive(other, buffer)) heard++; });
    const end = linux.onReadiness(server, () => {
      while (linux.receive(server, buffer)) {
        if (++count % 2 === 1) throw new Error("failure " + count);
      }
    }, true);
    for (let round = 0; round < 4; round++) {
      linux.send(client, Buffer.from("x"));
      linux.send(one, Buffer.from("y"));
      await Bun.sleep(50);
    }
    console.log(JSON.stringify({ count, heard, failures }));
    process.exit(0);
  `);
  expect(status).toBe(0);
  expect(JSON.parse(out)).toEqual({ count: 4, heard: 4, failures: ["failure 1", "failure 3"] });
});

test("who waits for a descriptor does not keep the event loop from what it waits for", async () => {
  const { out, status } = await runProgram(`
    const [left] = linux.socketPair();
    const patience = new linux.Patience(left);
    const fired = Promise.withResolvers();
    // It is past already, so the loop has something to do, and has not seen it.
    linux.atRealtime(0n, fired.resolve);
    // Longer than anybody waits for this process.
    patience.begin(2 ** 40);
    console.log(patience.await());
    await fired.promise;
    // Nothing is left of it that would end the next wait.
    patience.begin(50);
    const start = performance.now();
    console.log(patience.await(), performance.now() - start >= 50);
    patience.close();
    process.exit(0);
  `);
  expect({ out, status }).toEqual({ out: "false\nfalse true\n", status: 0 });
});
