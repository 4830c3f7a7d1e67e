import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cgroup, cgroupRoot, hasCode, mostTasks } from "../../../lib/linux/index.ts";

const NOBODY = 65534;
const root = cgroupRoot();
const read = (path: string) => readFileSync(join(root ?? "", path), "utf8").trim();
/** What the kernel has for cgroup2: not what version 1 hierarchies hold. */
const controllers = root === undefined ? [] : read("cgroup.controllers").split(" ").filter(Boolean);

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean();
});

/** Enables all controllers for the root's children, and what was not enabled before no more after the test. */
function enableAtRoot(): void {
  const control = join(root ?? "", "cgroup.subtree_control");
  const before = read("cgroup.subtree_control").split(" ");
  new Cgroup(root ?? "", "/").passOnControllers();
  cleanups.push(() => {
    for (const controller of controllers.filter((name) => !before.includes(name))) {
      try {
        writeFileSync(control, `-${controller}`);
      } catch (error) {
        // Another test that runs now has it on in a cgroup of its own.
        if (!hasCode(error, "EBUSY")) throw error;
      }
    }
  });
}

test.skipIf(controllers.length === 0)(
  "a delegated cgroup has the controllers that its parent passes on, and its owner may pass them on",
  async () => {
    enableAtRoot();
    const slice = new Cgroup(root ?? "", `/p7-slice-${process.pid}`);
    cleanups.push(() => expect(slice.remove()).toBe(true));
    slice.create();
    const { passed, refused } = slice.passOnControllers();
    expect(refused).toEqual([]);
    const scope = slice.child("scope");
    scope.create();
    scope.limit({ depth: 2, descendants: 10 });
    scope.delegate(NOBODY, NOBODY, passed);
    const start = scope.child("start");
    start.create();
    start.delegate(NOBODY, NOBODY);
    expect(read(`${scope.path}/cgroup.controllers`)).toBe(controllers.join(" "));

    const script = `set -e
      echo $$ > start/cgroup.procs
      exec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups bash -euc '
        for controller in ${controllers.join(" ")}; do echo +$controller > cgroup.subtree_control; done
        mkdir container; echo $$ > container/cgroup.procs
        cat container/cgroup.controllers
        for file in *.max *.weight; do
          case $file in cgroup.*|"*"*) continue ;; esac
          ! echo max 2> /dev/null > "$file" || exit 9
        done
        # Those of io, rdma and misc are for one device or kind each.
        for file in container/cpu.max container/memory.max container/pids.max; do
          [ ! -e "$file" ] || echo max > "$file"
        done
        ! mkdir -p container/2/3 2> /dev/null'`;
    const child = Bun.spawn(["sh", "-c", script], {
      cwd: join(root ?? "", scope.path),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, errors, status] = await Promise.all([
      child.stdout.text(),
      child.stderr.text(),
      child.exited,
    ]);
    expect({ out, errors, status }).toEqual({
      out: `${controllers.join(" ")}\n`,
      errors: "",
      status: 0,
    });
    // A cgroup with processes of its own passes nothing on, and says so.
    const busy = slice.child("busy");
    busy.create();
    const sleeper = Bun.spawn(["sleep", "infinity"]);
    cleanups.push(() => {
      sleeper.kill("SIGKILL");
    });
    busy.add(sleeper.pid);
    expect(busy.passOnControllers().refused).toEqual(
      controllers.map((name) => expect.stringMatching(new RegExp(`^${name} \\(EBUSY`))),
    );
    sleeper.kill("SIGKILL");
    await sleeper.exited;
  },
);

/** A cgroup for processes that are to be bounded. */
function boundedCgroup(): Cgroup {
  if (root === undefined) throw new Error("this test needs a cgroup2 mount");
  enableAtRoot();
  const cgroup = new Cgroup(root, `/p7-tasks-${process.pid}`);
  cgroup.create();
  cleanups.push(() => cgroup.remove());
  return cgroup;
}

const hasPids = controllers.includes("pids");

test.skipIf(hasPids)("where the tree does not have pids, that is said", () => {
  const cgroup = boundedCgroup();
  expect(new Cgroup(root ?? "", "").passOn("pids")).toBe(false);
  expect(cgroup.limitTasks(5n)).toBe(false);
});

test.skipIf(!hasPids)("processes are bounded where the tree has pids", async () => {
  const cgroup = boundedCgroup();
  expect(new Cgroup(root ?? "", "").passOn("pids")).toBe(true);
  expect(cgroup.limitTasks(5n)).toBe(true);
  expect(read(`${cgroup.path}/pids.max`)).toBe("5");
  const bomb = `echo $$ >${root}${cgroup.path}/cgroup.procs; for i in 1 2 3 4 5 6 7; do sleep 9 & done`;
  const child = Bun.spawn(["bash", "-c", bomb], { stderr: "pipe" });
  expect(await new Response(child.stderr).text()).toContain("fork");
  expect(cgroup.processes().length).toBeLessThanOrEqual(5);
  cgroup.signal(9);
  await child.exited;
  expect(cgroup.limitTasks(undefined)).toBe(true);
  expect(read(`${cgroup.path}/pids.max`)).toBe("max");
});

test("there can be no more processes than the kernel, and the container around, let be", () => {
  const limit = (name: string) => BigInt(readFileSync(`/proc/sys/kernel/${name}`, "utf8").trim());
  const [pids, threads] = [limit("pid_max"), limit("threads-max")];
  const folder = mkdtempSync(join(tmpdir(), "p7-tasks-"));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const least = [pids, threads, 4_194_303n].reduce((a, b) => (a < b ? a : b));
  expect(mostTasks(folder)).toBe(least);
  writeFileSync(join(folder, "pids.max"), "max\n");
  expect(mostTasks(folder)).toBe(least);
  writeFileSync(join(folder, "pids.max"), "17\n");
  expect(mostTasks(folder)).toBe(17n);
});
