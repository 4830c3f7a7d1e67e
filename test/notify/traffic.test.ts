/** Many datagrams, and many that make no sense. FULL=1 has the fuzz run ten times as long. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../support/until.ts";
import {
  allGivenBack,
  cleanUp,
  compile,
  descriptorsOf,
  newFolder,
  newName,
  newRoot,
  notifyd,
  python,
  Service,
  shown,
  start,
} from "./support/world.ts";

setDefaultTimeout(600_000);
afterEach(cleanUp);

const residentKiB = (pid: number) =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

test("200,000 datagrams of 50 senders: none is lost, and no sender starves", async () => {
  const [senders, each] = [50, 4000];
  const traffic = await compile("traffic.c");
  const socket = join(newFolder(), "notify");
  const daemon = await start(socket, "--verbose");
  const before = descriptorsOf(daemon.child.pid);
  const flood = Bun.spawn([traffic, "flood", socket, `${senders}`, `${each}`], { stdout: "pipe" });
  const [done, least] = (await flood.stdout.text()).split(" ").map(Number);
  expect(await flood.exited).toBe(0);
  expect(done).toBe(senders);
  // When the first was through, the slowest had sent its share too.
  expect(least).toBeGreaterThan(each / 100);
  await allGivenBack(daemon.child.pid, before);
  expect(await daemon.stop()).toBe(0);
  const lines = daemon.text().split("\n");
  const heard = lines.filter((line) => /STATUS=sender|BARRIER=1/.test(line)).length;
  const told = lines.map((line) => Number(/: (\d+) more datagrams were not/.exec(line)?.[1] ?? 0));
  expect(heard + told.reduce((sum, count) => sum + count, 0)).toBe(senders * (each + 1));
});

test("nonsense neither ends it nor leaves anything behind", async () => {
  const rounds = 5;
  const count = (process.env.FULL ? 1_000_000 : 100_000) / rounds;
  const traffic = await compile("traffic.c");
  const root = newRoot();
  const socket = join(newFolder(), "notify");
  const daemon = await start(socket, "--root", root);
  const service = new Service(root, newName(), "lainos_notify_access=all\nlainos_fdstore_max=64\n");
  const before = descriptorsOf(daemon.child.pid);
  const resident: number[] = [];
  for (let round = 0; round < rounds; round++) {
    // One half from a service, which has more to say, and the other from nobody.
    const lines = [traffic, "fuzz", socket, `${count / 2}`, `${round + 1}`];
    const inside = service.spawn(["sh", "-c", 'read go; exec "$@"', "sh", ...lines]);
    inside.stdin.write("\n");
    inside.stdin.end();
    const outside = Bun.spawn(lines, { stdout: "inherit", stderr: "inherit" });
    expect(await Promise.all([inside.exited, outside.exited])).toEqual([0, 0]);
    resident.push(residentKiB(daemon.child.pid));
  }
  console.log(`resident after each round, KiB: ${resident.join(" ")}`);
  // Ends when all that came before has been handled.
  await python(socket, "send(b'STATUS=still here')");
  const entry = shown(daemon.state).find(({ service: name }) => name === service.name);
  const kept = entry?.fds ?? 0;
  expect(kept).toBeLessThanOrEqual(64);
  // The pidfd of a main process that is alive, which by chance it has named; and what waits for
  // that, and for all that is kept: an epoll instance, and Bun's duplicate of it.
  const watches = (entry?.pid === undefined ? 0 : 3) + (kept > 0 ? 2 : 0);
  const left = () => descriptorsOf(daemon.child.pid) - before - kept;
  await until(`no more than ${watches} descriptors are left`, left, (count) => count <= watches);
  // The garbage collector has its own time: what is bounded is the growth, not the last figure.
  expect(resident.at(-1)).toBeLessThan((resident[0] ?? 0) + 64 * 1024);
  expect(notifyd("status", "--state", daemon.state).status).toBe(0);
  expect(await daemon.stop()).toBe(0);
  // Not one raw control character but the tab reached the log.
  expect(/\p{Cc}/u.test(daemon.text().replace(/[\n\t]/g, ""))).toBe(false);
});
