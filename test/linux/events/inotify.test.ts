import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  IN_CREATE,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  reportFailures,
  watchPath,
  writeFileAtomically,
} from "../../../lib/linux/index.ts";
import { until } from "../../support/until.ts";

const folders: string[] = [];
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-linux-"));
  folders.push(path);
  return path;
}
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true });
});

test("more paths than the kernel gives instances can be watched, each told of its own", async () => {
  const where = folder();
  const count = Number(readFileSync("/proc/sys/fs/inotify/max_user_instances", "utf8")) + 20;
  const told: string[] = [];
  const all = Promise.withResolvers<void>();
  const ends = Array.from({ length: count }, (_, index) => {
    mkdirSync(join(where, `${index}`));
    return watchPath(join(where, `${index}`), IN_MOVED_TO, ({ name }) => {
      told.push(`${index}/${name}`);
      if (told.length === 2) all.resolve();
    });
  });
  ends[1]?.();
  for (const index of [0, 1, count - 1]) writeFileAtomically(join(where, `${index}/x`), "");
  await all.promise;
  for (const end of ends) end();
  expect(told.sort()).toEqual(["0/x", `${count - 1}/x`].sort());
});

test("two watch one path, and the end of one leaves the other", async () => {
  const where = folder();
  const told: string[] = [];
  const seen = Promise.withResolvers<void>();
  const first = watchPath(where, IN_CREATE, () => told.push("first"));
  const second = watchPath(where, IN_MOVED_TO, () => {
    told.push("second");
    seen.resolve();
  });
  first();
  writeFileAtomically(join(where, "x"), "");
  await seen.promise;
  second();
  expect(told).toEqual(["second"]);
});

test("one that throws is reported, and what comes behind it is told", async () => {
  const where = folder();
  const failures: unknown[] = [];
  reportFailures((error) => failures.push(error));
  const told: string[] = [];
  const ends = [
    watchPath(where, IN_CREATE, ({ name }) => {
      throw new Error(`a fault at ${name}`);
    }),
    watchPath(where, IN_CREATE, ({ name }) => told.push(name)),
  ];
  for (const name of ["a", "b"]) writeFileSync(join(where, name), "");
  await until("both files are told", () => told.length === 2);
  for (const end of ends) end();
  expect(told).toEqual(["a", "b"]);
  expect(failures.map(String)).toEqual(["Error: a fault at a", "Error: a fault at b"]);
});

test("where events are lost, everybody who watches anything is told that", async () => {
  const [busy, quiet] = [folder(), folder()];
  const most = Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "utf8"));
  const lost: string[] = [];
  const ends = [busy, quiet].map((path) =>
    watchPath(path, IN_CREATE, ({ mask, name }) => {
      if (mask & IN_Q_OVERFLOW) lost.push(`${path}${name}`);
    }),
  );
  // Nothing is read before this test waits for something.
  for (let count = 0; count <= most; count++) writeFileSync(join(busy, `${count}`), "");
  await until("the loss is told", () => lost.length >= 2);
  for (const end of ends) end();
  expect(lost.toSorted()).toEqual([busy, quiet].toSorted());
});

test("an instance that cannot be listened to is not kept open", async () => {
  const library = join(import.meta.dir, "../../../lib/linux/index.ts");
  const program = `
    import * as linux from ${JSON.stringify(library)};
    const fds = [];
    try { for (;;) fds.push(linux.open("/dev/null", linux.O_RDONLY)); } catch {}
    // One is free: the inotify instance gets it, and the epoll instance that is to listen none.
    linux.close(fds.pop());
    let said = "";
    try { linux.watchPath("/", linux.IN_CREATE, () => {}); } catch (error) { said = error.message; }
    let free = 0;
    try { for (;;) { linux.open("/dev/null", linux.O_RDONLY); free++; } } catch {}
    for (const fd of fds) linux.close(fd);
    console.log(JSON.stringify({ said, free }));
    process.exit(0);`;
  const child = Bun.spawn(
    ["sh", "-c", 'ulimit -n 64; exec "$0" -e "$1"', process.execPath, program],
    {
      stdout: "pipe",
      stderr: "inherit",
    },
  );
  const found = JSON.parse(await child.stdout.text());
  expect(found).toEqual({ said: expect.stringContaining("epoll_create1"), free: 1 });
});
