/**
 * `bun run test:all [PATH...]`: everything that is tested, on a machine that may
 * lack all of it. Installs what the tests need, builds the executables, checks
 * the tree, runs bun test folder by folder in random order, and ends with a
 * line `N passed, N failed`.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ensureHostPackages, HostError, requireRoot, type ToolName } from "./host.ts";
import { isInTools } from "./tools/root.ts";

const ROOT = resolve(import.meta.dir, "..");

/** What the tests call besides what the scripts install for themselves. */
const TOOLS: ToolName[] = [
  "alsactl",
  "apparmor_parser",
  "busctl",
  "dbus-daemon",
  "dunst",
  "foot",
  "gcc",
  "gdbus",
  "ip",
  "libc's headers",
  "libsystemd's headers",
  "libseat's headers",
  "nsenter",
  "openbox",
  "pam_systemd.so",
  "pipewire",
  "pipewire-pulse",
  "polkitd",
  "ps",
  "python-dbusmock",
  "python3",
  "pw-mon",
  "shellcheck",
  "sway",
  "tint2",
  "unshare",
  "wireplumber",
  "xmllint",
  "Xvfb",
  "zsh",
];

/** A test that needs longer than this, in milliseconds, says so itself. */
const TEST_TIMEOUT = 30_000;

/** How much of what a failed test printed is said again at the end, in characters. */
const MOST_OF_A_FAILURE = 4_000;

/** What runs in the root of Debian's newest parts where the host has older ones: see scripts/tools. */
const IN_TOOLS = [
  ...["test/airootfs", "test/audio", "test/cli", "test/dbus", "test/executables", "test/files"],
  ...["test/ghost", "test/linux", "test/loginctl", "test/net", "test/notify", "test/session"],
  ...["test/varlink"],
];

interface Tally {
  passed: number;
  failed: number;
  /** What was printed for each failure, said again at the end of a long log. */
  failures?: string[];
}

/** Runs one script of ours; it counts as one test. */
async function runStep(name: string, words: string[]): Promise<Tally> {
  process.stdout.write(`\n== ${name}\n`);
  const child = Bun.spawn([process.execPath, ...words], {
    cwd: ROOT,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const passed = (await child.exited) === 0;
  if (!passed) process.stdout.write(`${name} failed\n`);
  return passed ? { passed: 1, failed: 0 } : { passed: 0, failed: 1, failures: [`${name} failed`] };
}

/** Runs bun test on one folder and counts by its JUnit report, since its own words may change. */
async function runTests(folder: string, reports: string): Promise<Tally> {
  process.stdout.write(`\n== ${folder}\n`);
  const report = join(reports, `${folder.replaceAll("/", "-")}.xml`);
  const words = ["test", "--randomize", `--timeout=${TEST_TIMEOUT}`, "--reporter=junit"];
  const test = [process.execPath, ...words, `--reporter-outfile=${report}`, `./${folder}`];
  const inTools = IN_TOOLS.includes(folder) && !(await isInTools());
  const command = inTools ? [process.execPath, "scripts/tools/main.ts", ...test] : test;
  const child = Bun.spawn(command, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  // Bun's words about the tests are on standard error; what the tests print may be on either.
  const [, failures] = await Promise.all([passOn(child.stdout), passOn(child.stderr)]);
  const code = await child.exited;
  const tally = existsSync(report) ? countReport(readFileSync(report, "utf8")) : undefined;
  if (!tally) return { passed: 0, failed: 1, failures: [`${folder} ended with ${code}`] };
  // A failure outside of any test (a file that does not load) has no entry in the report.
  if (code !== 0 && tally.failed === 0) {
    return { ...tally, failed: 1, failures: [`${folder} ended with ${code}, but no test failed`] };
  }
  return { ...tally, failures: failures.map((text) => `${folder}\n${text}`) };
}

/** Prints what comes as it comes, and gives what was printed for each test that failed. */
async function passOn(stream: ReadableStream<Uint8Array>): Promise<string[]> {
  const failures: string[] = [];
  const decoder = new TextDecoder();
  let about: string[] = [];
  let rest = "";
  for await (const bytes of stream) {
    const text = decoder.decode(bytes, { stream: true });
    process.stdout.write(text);
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      about.push(line);
      if (/^\(fail\) /.test(line)) failures.push(about.join("\n"));
      if (/^\((pass|fail|skip|todo)\) /.test(line)) about = [];
    }
  }
  process.stdout.write(decoder.decode());
  return failures;
}

function countReport(xml: string): Tally | undefined {
  const totals = /<testsuites [^>]*tests="(\d+)"[^>]*failures="(\d+)"[^>]*/.exec(xml);
  if (!totals) return undefined;
  const skipped = Number(/<testsuites [^>]*skipped="(\d+)"/.exec(xml)?.[1] ?? 0);
  const failed = Number(totals[2]);
  return { passed: Number(totals[1]) - failed - skipped, failed };
}

/** What takes longest comes last: the booted systems. */
const LAST = ["test/live", "test/machine"];

/** Runs only where it is named: without KVM an installation takes longer than all the rest. */
const ONLY_BY_NAME = ["test/install"];

function testFolders(): string[] {
  const folders = readdirSync(join(ROOT, "test"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `test/${entry.name}`)
    .filter((folder) => !ONLY_BY_NAME.includes(folder))
    .filter(
      (folder) => new Bun.Glob("**/*.test.ts").scanSync(join(ROOT, folder)).next().done === false,
    );
  return folders.sort((a, b) => LAST.indexOf(a) - LAST.indexOf(b) || a.localeCompare(b));
}

async function main(): Promise<number> {
  requireRoot();
  const started = performance.now();
  await ensureHostPackages(TOOLS, (packages) =>
    process.stdout.write(`Installing ${packages.join(" ")}\n`),
  );
  const chosen = process.argv.slice(2);
  const reports = mkdtempSync(join(tmpdir(), "protocol7-reports-"));
  const tallies: Tally[] = [];
  try {
    tallies.push(await runStep("build", ["scripts/build.ts"]));
    if (chosen.length === 0) tallies.push(await runStep("check", ["scripts/check.ts"]));
    for (const folder of chosen.length > 0 ? chosen : testFolders()) {
      tallies.push(await runTests(folder, reports));
    }
  } finally {
    rmSync(reports, { recursive: true });
  }
  const sum = (key: "passed" | "failed") => tallies.reduce((total, tally) => total + tally[key], 0);
  for (const failure of tallies.flatMap((tally) => tally.failures ?? [])) {
    process.stdout.write(`\n== failed: ${failure.slice(-MOST_OF_A_FAILURE)}\n`);
  }
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  process.stdout.write(
    `\nin ${minutes} minutes\n${sum("passed")} passed, ${sum("failed")} failed\n`,
  );
  return sum("failed") === 0 && sum("passed") > 0 ? 0 : 1;
}

try {
  process.exit(await main());
} catch (error) {
  if (!(error instanceof HostError)) throw error;
  process.stderr.write(`test: ${error.message}\n`);
  process.exit(1);
}
