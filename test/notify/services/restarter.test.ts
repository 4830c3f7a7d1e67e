/** Restarts that hang, and what is said of one that is under way. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLogger } from "../../../lib/cli/index.ts";
import { describePlan, Restarter } from "../../../lib/notify/services/restarter.ts";
import { until } from "../../support/until.ts";
import { cleanUp, later, newFolder } from "../support/world.ts";

setDefaultTimeout(120_000);
afterEach(cleanUp);

/** A rc-service of this text, which has `$folder`, and a restarter that uses it. */
function world(script: string, limits: { limit: number; grace: number }) {
  const folder = newFolder();
  writeFileSync(
    join(folder, "rc-service"),
    `#!/bin/sh\nfolder=${folder}\necho $$ >>$folder/pids\n${script}\n`,
  );
  chmodSync(join(folder, "rc-service"), 0o755);
  const before = process.env.PATH;
  process.env.PATH = `${folder}:${before}`;
  later(() => {
    process.env.PATH = before;
  });
  const lines: string[] = [];
  const log = createLogger("test", true, (level, message) => lines.push(`${level} ${message}`) > 0);
  const restarter = new Restarter(log, limits);
  later(() => restarter.end());
  const pids = () =>
    existsSync(join(folder, "pids"))
      ? readFileSync(join(folder, "pids"), "utf8").trim().split("\n").map(Number)
      : [];
  const said = (text: string) =>
    until(
      `the line ${text}`,
      () => lines,
      (all) => all.some((line) => line.includes(text)),
    );
  return { folder, restarter, lines, pids, said };
}

test("one that hangs is ended, and the next is tried", async () => {
  const { restarter, pids, said } = world("sleep 1000", { limit: 500, grace: 30_000 });
  expect(restarter.restart("slow")).toEqual({ kind: "planned", seconds: 0 });
  await until("it runs", pids, ({ length }) => length === 1);
  expect(restarter.restart("slow")).toEqual({ kind: "running" });
  await said("error slow: rc-service restart ended with 124");
  for (const pid of pids()) expect(existsSync(`/proc/${pid}`)).toBe(false);
  expect(restarter.restart("slow")).toEqual({ kind: "planned", seconds: 5 });
  const again = restarter.restart("slow");
  expect(again.kind).toBe("waiting");
  expect(describePlan(again)).toMatch(/^its restart is due in [1-5] s already$/);
});

test("one whose children keep its output open is waited for no longer than that", async () => {
  // As a daemon that it has started and that is in no group of its own any more.
  const { folder, restarter, said } = world(
    'setsid sh -c "echo \\$\\$ >$folder/left; exec sleep 1000" & wait',
    { limit: 300, grace: 500 },
  );
  restarter.restart("slow");
  await said("error slow: cannot be restarted: it has not ended in 0.8 s");
  process.kill(Number(readFileSync(join(folder, "left"), "utf8")), "SIGKILL");
  expect(restarter.restart("slow").kind).toBe("planned");
});

test("each plan has its words", () => {
  expect(describePlan({ kind: "planned", seconds: 0 })).toBe("it is restarted");
  expect(describePlan({ kind: "planned", seconds: 5 })).toBe("it is restarted in 5 s");
  expect(describePlan({ kind: "waiting", seconds: 42 })).toBe("its restart is due in 42 s already");
  expect(describePlan({ kind: "running" })).toBe("its restart is under way already");
});
