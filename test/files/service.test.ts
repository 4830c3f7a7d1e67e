/** service.sh: what stop says of a process that cannot be ended, and whose name on the bus counts. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SERVICE = join(import.meta.dir, "../../files/usr/libexec/lainos/service.sh");
const folder = mkdtempSync(join(tmpdir(), "p7-service-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a line of sh after service.sh, with what OpenRC would have: $CHILD is what supervise-daemon runs. */
function run(line: string, child: number, more = "") {
  const script = `RC_SVCNAME=lainos-test
. ${SERVICE}
service_get_value() { echo "$CHILD"; }
eerror() { echo "error: $*"; }
default_stop() { eval "$STOP"; }
${more}
${line}`;
  const done = Bun.spawnSync(["sh", "-c", script], {
    env: {
      PATH: `${folder}:/usr/bin:/bin`,
      CHILD: String(child),
      STOP: `kill -9 ${child}; ${more}`,
    },
  });
  return { status: done.exitCode, out: done.stdout.toString() + done.stderr.toString() };
}

/** A process whose parent does not wait for it: after SIGKILL it is there as a zombie, as one is that a thread holds. */
async function unwaited(): Promise<{ pid: number; end: () => Promise<void> }> {
  const script =
    "import os,time\npid=os.fork()\nif pid==0: time.sleep(100)\nprint(pid,flush=True)\ntime.sleep(100)";
  const parent = Bun.spawn(["/usr/bin/python3", "-c", script], { stdout: "pipe" });
  const { value } = await parent.stdout.getReader().read();
  const end = async () => {
    parent.kill("SIGKILL");
    await parent.exited;
  };
  return { pid: Number(Buffer.from(value ?? []).toString()), end };
}

test("stop names a process that has not ended, with its state, and succeeds", async () => {
  const { pid, end } = await unwaited();
  const { status, out } = run("stop; echo status $?", pid, "sleep 0.2");
  await end();
  expect(status).toBe(0);
  expect(out).toContain(
    `error: lainos-test: process ${pid} has not ended (state Z): it waits in the kernel`,
  );
  expect(out).toContain("status 0");
});

test("stop says nothing of one that has ended, and fails where OpenRC's own stop does", async () => {
  const child = Bun.spawn(["sleep", "100"]);
  const ended = child.exited;
  const stopped = Bun.spawn(
    [
      "sh",
      "-c",
      `RC_SVCNAME=x; . ${SERVICE}; service_get_value() { echo ${child.pid}; }; eerror() { echo "error: $*"; }; default_stop() { kill -9 ${child.pid}; sleep 0.3; }; stop; echo status $?; default_stop() { return 3; }; stop; echo status $?`,
    ],
    { stdout: "pipe" },
  );
  expect(await stopped.stdout.text()).toBe("status 0\nstatus 3\n");
  await ended;
});

test("a name on the bus counts only if our own process owns it", () => {
  const bus = (answer: string) =>
    writeFileSync(join(folder, "dbus-send"), `#!/bin/sh\n${answer}\n`, { mode: 0o755 });
  bus("echo '   uint32 4242'");
  expect(run("lainos_owns org.example; echo $?", 4242).out).toBe("0\n");
  expect(run("lainos_owns org.example; echo $?", 424).out).toBe("1\n");
  bus("exit 1");
  expect(run("lainos_owns org.example; echo $?", 4242).out).toBe("1\n");
});
