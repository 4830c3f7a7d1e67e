/** Taking connections while this process may open no more descriptors. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../files/run.ts";

const MODULE = join(import.meta.dir, "../../../lib/linux/index.ts");

test("a lack of descriptors is told of once, and who waited meanwhile is taken then", async () => {
  const folder = mkdtempSync(join(tmpdir(), "p7-connections-"));
  const program = `import { close, connectStream, createPlaceholder, listenStream, onConnection } from ${JSON.stringify(MODULE)};
const path = ${JSON.stringify(join(folder, "socket"))};
const listener = listenStream(path);
const told = [];
const held = [];
let admitted = 0;
const { promise, resolve } = Promise.withResolvers();
const end = onConnection(listener, (fd) => { close(fd); if (++admitted === 3) resolve(); }, (error) => told.push(error.code));
// It looks for the first time when this turn is over.
const clients = [1, 2, 3].map(() => connectStream(path));
try { for (;;) held.push(createPlaceholder()); } catch {}
// Long enough for three more tries, a second apart.
await Bun.sleep(3500);
const before = admitted;
close(held.pop());
await promise;
end();
console.log(JSON.stringify({ told, before, admitted }));
process.exit(0);`;
  const done = await run(["sh", "-c", 'ulimit -n 64; exec bun -e "$1"', "sh", program]);
  rmSync(folder, { recursive: true });
  expect(done.stderr).toBe("");
  expect(JSON.parse(done.stdout)).toEqual({ told: ["EMFILE"], before: 0, admitted: 3 });
}, 30_000);

test("what keeps connections from being served is told of once, until one is", async () => {
  const folder = mkdtempSync(join(tmpdir(), "p7-connections-"));
  const program = `import { close, connectStream, listenStream, onConnection } from ${JSON.stringify(MODULE)};
const path = ${JSON.stringify(join(folder, "socket"))};
const listener = listenStream(path);
const told = [];
let count = 0;
const { promise, resolve } = Promise.withResolvers();
const end = onConnection(listener, (fd) => {
  close(fd);
  if (++count === 8) resolve();
  if (count !== 4) throw new Error(count < 6 ? "none is left" : "another reason");
}, (error) => told.push(count + ": " + error.message));
const clients = Array.from({ length: 8 }, () => connectStream(path));
await promise;
await Bun.sleep(0);
end();
console.log(JSON.stringify(told));
process.exit(0);`;
  const done = await run(["bun", "-e", program]);
  rmSync(folder, { recursive: true });
  expect(done.stderr).toBe("");
  expect(JSON.parse(done.stdout)).toEqual([
    "1: none is left",
    "5: none is left",
    "6: another reason",
  ]);
}, 30_000);
