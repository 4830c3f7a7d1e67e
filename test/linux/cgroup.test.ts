import { afterEach, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cgroup, cgroupRoot, hasCode } from "../../lib/linux/index.ts";

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
        for file in container/*.max; do echo max > "$file"; done
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
