/** That the figures can be taken, not what they are: how fast a machine is proves nothing. */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Figures } from "../../bench/measure.ts";
import { compare, insertFigures, spread } from "../../bench/report.ts";
import { allProcesses, commandWords } from "../../lib/linux/index.ts";

// It builds the tools root, fetches elogind and compiles the executables first, where they are not there.
setDefaultTimeout(180_000);

const ROOT = join(import.meta.dir, "../..");

/** All that a run makes is in here, and its processes have it in their command lines. */
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "p7-bench-test-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

function start(...options: string[]) {
  const sizes = ["--rounds=1", "--calls=20", "--no-package"];
  return Bun.spawn([process.execPath, join(ROOT, "bench/main.ts"), ...sizes, ...options], {
    env: { ...process.env, TMPDIR: folder },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

function expectNothingLeft(): void {
  expect(readdirSync(folder)).toEqual([]);
  expect(
    allProcesses()
      .flatMap((pid) => commandWords(pid)?.join(" ") ?? [])
      .join("\n"),
  ).not.toContain(folder);
}

/** Every number in a value, however deep. */
function numbersIn(value: unknown): number[] {
  if (typeof value === "number") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}

test("every figure is a positive number, and nothing is left behind", async () => {
  const child = start("--json", "--idle=0.1");
  const [out, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect({ status: await child.exited, errors }).toEqual({ status: 0, errors: "round 1 of 1\n" });
  const { servers, notify, own } = JSON.parse(out);
  expect(Object.keys(servers)).toEqual(["lainos-dbus-bridge", "elogind", "systemd-logind"]);
  for (const [round] of Object.values<object[]>(servers)) {
    const numbers = numbersIn(round);
    expect(numbers.length).toBe(29 + 19 + 20);
    for (const number of numbers) expect(number).toBeGreaterThan(0);
  }
  expect(numbersIn(notify)).toHaveLength(4);
  for (const number of numbersIn(notify)) expect(number).toBeGreaterThan(0);
  expect(own.starts.length).toBe(4);
  for (const taken of own.starts) expect(taken).toBeGreaterThan(0);
  expectNothingLeft();
});

test("interrupted while it measures, it leaves nothing behind", async () => {
  const child = start("--idle=60");
  for await (const chunk of child.stderr) {
    if (Buffer.from(chunk).includes("round 1")) break;
  }
  // Until the server runs, which then is left alone for a minute.
  const isBridge = (pid: number) =>
    new RegExp(`^${folder}/[^ ]*/lainos-dbus-bridge$`).test(commandWords(pid)?.join(" ") ?? "");
  while (!allProcesses().some(isBridge)) await Bun.sleep(20);
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  expectNothingLeft();
});

test("the median of an odd and of an even number of values", () => {
  expect(spread([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3 });
  expect(spread([4, 1, 2, 3])).toEqual({ median: 2.5, least: 1, most: 4 });
});

test("in each round ours is beside the best of the others", () => {
  const rounds = (...values: number[]) =>
    values.map(
      (value) =>
        new Proxy({} as Figures, {
          get: (_, key) => (key === "create" || key === "logins" ? [value] : value),
        }),
    );
  const measured = new Map([
    ["ours", rounds(10, 10)],
    ["a", rounds(5, 25)],
    ["b", rounds(20, 5)],
  ]);
  const counts = { rounds: 2, calls: 1, warmUp: 1, sessions: 2, logins: 1, idle: 1, starts: 1 };
  const [head, , ...lines] = compare(measured, counts)
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim()));
  expect(head?.slice(2, -1)).toEqual(["ours", "a", "b", "times as good"]);
  for (const [, label = "", ...cells] of lines) {
    expect([label, cells.at(-2)]).toEqual([label, label.includes(" a second") ? "0.45" : "0.50"]);
  }
});

test("figures go between their markers, and nowhere else", () => {
  const page = readFileSync(join(ROOT, "docs/bench.md"), "utf8");
  const once = insertFigures(page, "old");
  expect(insertFigures(once, "new")).toBe(once.replace("\nold\n", "\nnew\n"));
  expect(() => insertFigures("# No place\n", "new")).toThrow("no place for the text");
});
