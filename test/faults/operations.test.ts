/** Operations whose parts fail: with a performer that does, since none of ours is known to. */
import { expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { run } from "../files/run.ts";

const LIB = resolve(import.meta.dir, "../../lib");

/** A performer that fails where it is told to, and what was logged and announced. */
const PROGRAM = `
import { Operations } from ${JSON.stringify(join(LIB, "login1/power/operations.ts"))};
import { Inhibitors } from ${JSON.stringify(join(LIB, "login1/inhibitors/inhibitors.ts"))};
import { StateFiles } from ${JSON.stringify(join(LIB, "login1/state/state-files.ts"))};
import { until } from ${JSON.stringify(join(LIB, "../test/support/until.ts"))};
import { Settings } from ${JSON.stringify(join(LIB, "login1/settings/logind-conf.ts"))};
import { existsSync, writeFileSync } from "node:fs";
const errors = [], announced = [], fails = new Set(process.argv.slice(1));
const log = { debug() {}, info() {}, warning() {}, error: (line) => errors.push(line) };
const files = new StateFiles(log);
const operations = new Operations(log, new Inhibitors(log, new Settings(log), files, () => {}), files, (way, active) => {
  announced.push(active);
  if (fails.has("announce")) throw new Error("announce");
});
const step = async (name) => { if (fails.has(name)) throw new Error(name); };
const performer = { before: () => step("before"), perform: async () => { await step("perform"); return false; }, after: () => step("after") };
operations.performBy("sleep", performer);
operations.performBy("shutdown", performer);
const begin = (way) => operations.begin(way).then(() => "none", (error) => error.message);
const told = [];
for (const way of ["suspend", "poweroff", "suspend"]) {
  told.push(await begin(way));
  await until("nothing is under way", () => operations.underWay === undefined);
}
// As it is after a bridge that was killed.
writeFileSync("/run/systemd/operation", "WAY=suspend\\nSTAGE=doing\\n");
operations.start();
await until("nothing is under way", () => operations.underWay === undefined);
let free = false;
operations.whenFree(() => { free = true; });
console.log(JSON.stringify({ told, announced, errors: [...new Set(errors)].sort(), free, left: existsSync("/run/systemd/operation") }));
process.exit(0);`;

async function withFailing(...steps: string[]): Promise<Record<string, unknown>> {
  const script = 'mount -t tmpfs run /run; mkdir /run/systemd; exec bun -e "$@"';
  const done = await run(["unshare", "--mount", "sh", "-euc", script, "sh", PROGRAM, ...steps]);
  expect({ exitCode: done.exitCode, stderr: done.stderr }).toEqual({ exitCode: 0, stderr: "" });
  return JSON.parse(done.stdout);
}

const ALL = [true, false, true, false, true, false, false];

test.each([
  ["before", ["before", "before", "before"], [false], []],
  [
    "perform",
    ["none", "perform", "none"],
    ALL,
    ["poweroff failed: perform", "suspend failed: perform"],
  ],
  ["after", ["none", "none", "none"], ALL, ["after poweroff: after", "after suspend: after"]],
  [
    "announce",
    ["none", "none", "none"],
    ALL,
    ["poweroff: nobody could be told: announce", "suspend: nobody could be told: announce"],
  ],
])(
  "a failure in %s is told or logged, and the next one is free to begin",
  async (step, told, announced, errors) => {
    expect(await withFailing(step)).toEqual({ told, announced, errors, free: true, left: false });
  },
);
