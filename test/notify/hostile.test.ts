/** File descriptors whose close(2) waits for their sender: nobody else waits. */
import { afterEach, expect, test } from "bun:test";
import { readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import {
  close,
  createSenderFilter,
  hasCode,
  refuseDescriptors,
  socketPair,
} from "../../lib/linux/index.ts";
import { until } from "../support/until.ts";
import {
  allGivenBack,
  cleanUp,
  descriptorsOf,
  later,
  newFolder,
  notifyd,
  python,
  shown,
  speaker,
  start,
} from "./support/world.ts";

afterEach(cleanUp);

const PROGRAM = join(import.meta.dir, "../linux/hostile.py");
const as = (uid: number) => ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
const AS_NOBODY = as(65534);
const AS_DAEMON = as(1);
/** What each waits for, were it waited for, is ten minutes. */
const BARRIER = "print(barrier(15))";

for (const message of ["STATUS=x", "FDSTORE=1", "BARRIER=1", "no assignment"]) {
  test(`with ${message}: others' barriers are answered, and all is given back`, async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    const before = descriptorsOf(daemon.child.pid);
    const child = Bun.spawn(
      [...AS_NOBODY, "/usr/bin/python3", PROGRAM, socket, "dgram", message, "40"],
      { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
    );
    later(async () => {
      child.kill("SIGKILL");
      await child.exited;
    });
    expect(Buffer.from((await child.stdout.getReader().read()).value ?? []).toString()).toStartWith(
      "sent",
    );
    for (let count = 0; count < 5; count++) {
      expect((await python(socket, BARRIER)).out).toBe("1");
    }
    child.stdin.end();
    await child.exited;
    await allGivenBack(daemon.child.pid, before);
    expect(await daemon.stop("SIGTERM")).toBe(0);
  });
}

test("what stands in the place of the state file is never waited for, nor followed", async () => {
  const folder = newFolder();
  const state = join(folder, "state.json");
  expect(Bun.spawnSync(["mkfifo", state]).exitCode).toBe(0);
  const said = () => notifyd("status", "--state", state);
  expect(said().errors).toContain("is not what lainos-notifyd writes");
  rmSync(state);
  symlinkSync("/etc/passwd", state);
  expect(said().errors).toContain("is not what lainos-notifyd writes");
  expect(notifyd("wait", "x", "--timeout", "1", "--state", state).status).toBe(1);
});

test("while a user's descriptors do not close others are heard, and it is again then", async () => {
  const socket = join(newFolder(), "notify");
  const daemon = await start(socket);
  const before = descriptorsOf(daemon.child.pid);
  const child = hostile(socket, "600", ...AS_NOBODY);
  await child.stdout.getReader().read();
  for (let count = 0; count < 5; count++) {
    expect((await python(socket, BARRIER)).out).toBe("1");
  }
  child.stdin.end();
  await child.exited;
  await allGivenBack(daemon.child.pid, before);
  await until(
    "the user is heard again",
    async () => {
      const { end } = await speaker(socket, 'send(b"STATUS=again")', AS_NOBODY);
      const statuses = shown(daemon.state).map(({ status }) => status);
      await end();
      return statuses;
    },
    (statuses) => statuses.includes("again"),
  );
  await allGivenBack(daemon.child.pid, before);
}, 120_000);

test.skipIf(!canFilter())(
  "a user whose descriptors do not close is heard no more until they do",
  async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    const before = descriptorsOf(daemon.child.pid);
    const child = hostile(socket, "600", ...AS_NOBODY);
    await child.stdout.getReader().read();
    await daemon.logged("uid 65534 is not heard until its file descriptors close");
    // What was in the queue already is taken all the same.
    expect(descriptorsOf(daemon.child.pid) - before).toBeLessThan(500);
    // Tossed in the sender's own call, which is told nothing. Its barrier is answered by that.
    await speaker(socket, 'send(b"STATUS=silent")', AS_NOBODY);
    await speaker(socket, 'send(b"STATUS=heard")', AS_DAEMON);
    const statuses = await until(
      "another user's words are shown",
      () => shown(daemon.state).map(({ status }) => status),
      (all) => all.includes("heard"),
    );
    expect(statuses).not.toContain("silent");
    child.stdin.end();
    await child.exited;
    await daemon.logged("uid 65534 is heard again");
  },
  120_000,
);

test.skipIf(!canRefuse())(
  "of root's thousands that do not close none are taken any more, until they have",
  async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    const before = descriptorsOf(daemon.child.pid);
    const child = hostile(socket, "6000");
    await child.stdout.getReader().read();
    // Words without a file descriptor are heard all the same.
    const pid = (await python(socket, 'send(b"STATUS=alone"); print(os.getpid())')).out;
    await daemon.logged(`pid ${pid} uid 0`);
    await daemon.logged("sends file descriptors that do not close: nobody's are taken");
    expect(descriptorsOf(daemon.child.pid) - before).toBeLessThan(2048 + 300);
    child.stdin.end();
    await child.exited;
    await daemon.logged("file descriptors are taken again");
    expect((await python(socket, BARRIER)).out).toBe("1");
    await allGivenBack(daemon.child.pid, before);
  },
  60_000,
);

test.skipIf(canRefuse())(
  "root's thousands that do not close are waited for where the kernel cannot refuse them",
  async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    const before = descriptorsOf(daemon.child.pid);
    const child = hostile(socket, "6000");
    const threads = () => readdirSync(`/proc/${daemon.child.pid}/task`).length;
    await until("2048 threads wait", threads, (count) => count >= 2048);
    child.kill("SIGKILL");
    await child.exited;
    expect((await python(socket, BARRIER)).out).toBe("1");
    await allGivenBack(daemon.child.pid, before);
  },
  60_000,
);

/** Sends so many descriptors that do not close until its input ends. */
function hostile(socket: string, count: string, ...prefix: string[]) {
  const command = [...prefix, "/usr/bin/python3", PROGRAM, socket, "dgram", "STATUS=x", count];
  const child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  later(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  return child;
}

/** Whether this kernel's filters of sockets can ask who sends (Linux 6.16). */
function canFilter(): boolean {
  const [ours, theirs] = socketPair();
  try {
    close(createSenderFilter(ours));
    return true;
  } catch (error) {
    if (!hasCode(error, "EINVAL", "ENOSYS")) throw error;
    return false;
  } finally {
    for (const fd of [ours, theirs]) close(fd);
  }
}

/** Whether this kernel can refuse file descriptors (Linux 6.16). */
function canRefuse(): boolean {
  const [ours, theirs] = socketPair();
  const can = refuseDescriptors(theirs);
  for (const fd of [ours, theirs]) close(fd);
  return can;
}
