/**
 * `bun run test:all [PATH...]`: everything that is tested, on a machine that may
 * lack all of it. Installs what the tests need, builds the executables, checks
 * the tree, runs bun test folder by folder in random order, and ends with a
 * line `N passed, N failed`.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { ensureHostPackages, requireRoot, type ToolName } from "../scripts/host.ts";
import { UserError } from "../scripts/user-error.ts";
import { isInTools } from "./tools/root.ts";

const ROOT = resolve(import.meta.dir, "..");

/** What the check and the tests on the host call besides what the scripts install for themselves. */
const ON_THE_HOST: ToolName[] = ["gcc", "libc's headers", "libsystemd's headers", "shellcheck"];

/** The same for the other tests, where they run on the host too: see testbed/tools. */
const ELSEWHERE: ToolName[] = [
  "alsactl",
  "apparmor_parser",
  "busctl",
  "crond",
  "curl",
  "dbus-daemon",
  "doas",
  "dunst",
  "fish",
  "foot",
  "gdbus",
  "i3lock",
  "ip",
  "libseat's headers",
  "lightdm",
  "nsenter",
  "openbox",
  "PAM's headers",
  "pam_systemd.so",
  "pamtester",
  "pipewire",
  "pipewire-pulse",
  "polkitd",
  "ps",
  "python-dbusmock",
  "python-varlink",
  "python3",
  "pw-mon",
  "sddm",
  "ssh",
  "sshd",
  "sway",
  "tint2",
  "unshare",
  "wireplumber",
  "xmllint",
  "xss-lock",
  "Xvfb",
  "zsh",
];

/** A test that needs longer than this, in milliseconds, says so itself. */
const TEST_TIMEOUT = 30_000;

/** How much of what a failed test printed is said again at the end, in characters. */
const MOST_OF_A_FAILURE = 4_000;

/**
 * What runs on the host: it makes roots of its own, in which its clients are, and has of the host the
 * kernel, mmdebstrap and QEMU. All else runs in the root of Debian's newest parts: see testbed/tools.
 */
const OWN_ROOTS = [
  ...["test/install", "test/iso/medium.test.ts", "test/live", "test/machine", "test/oldest"],
];

/** A folder or a file of tests; of a folder with tests on the host only the others. */
interface Part {
  name: string;
  files: string[];
  onHost: boolean;
}

/** What a path of tests is run as. */
function partsOf(path: string): Part[] {
  const name = relative(ROOT, resolve(ROOT, path));
  const isIn = (folder: string) => name === folder || name.startsWith(`${folder}/`);
  if (OWN_ROOTS.some(isIn)) return [{ name, files: [`./${name}`], onHost: true }];
  const apart = OWN_ROOTS.filter((other) => other.startsWith(`${name}/`));
  if (apart.length === 0) return [{ name, files: [`./${name}`], onHost: false }];
  const all = [...new Bun.Glob("**/*.test.ts").scanSync(join(ROOT, name))].sort();
  const files = all
    .map((file) => `./${name}/${file}`)
    .filter((file) => {
      return !apart.some((other) => file === `./${other}` || file.startsWith(`./${other}/`));
    });
  return [{ name, files, onHost: false }, ...apart.flatMap(partsOf)];
}

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

/** Where what a part prints goes. */
type Print = (text: string) => void;

const onTerminal: Print = (text) => process.stdout.write(text);

/** Runs bun test on one part and counts by its JUnit report, since its own words may change. */
async function runTests(part: Part, reports: string, print: Print): Promise<Tally> {
  const { name, files, onHost } = part;
  print(`\n== ${name}\n`);
  const report = join(reports, `${name.replaceAll("/", "-")}.xml`);
  const words = ["test", "--randomize", `--timeout=${TEST_TIMEOUT}`, "--reporter=junit"];
  const test = [process.execPath, ...words, `--reporter-outfile=${report}`, ...files];
  const enters = !onHost && !(await isInTools());
  const command = enters ? [process.execPath, "testbed/tools/main.ts", ...test] : test;
  const child = Bun.spawn(command, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  // Bun's words about the tests are on standard error; what the tests print may be on either.
  const [, failures] = await Promise.all([
    passOn(child.stdout, print),
    passOn(child.stderr, print),
  ]);
  const code = await child.exited;
  const tally = existsSync(report) ? countReport(readFileSync(report, "utf8")) : undefined;
  if (!tally) return { passed: 0, failed: 1, failures: [`${name} ended with ${code}`] };
  // A failure outside of any test (a file that does not load) has no entry in the report.
  if (code !== 0 && tally.failed === 0) {
    return { ...tally, failed: 1, failures: [`${name} ended with ${code}, but no test failed`] };
  }
  return { ...tally, failures: failures.map((text) => `${name}\n${text}`) };
}

/** Prints what comes as it comes, and gives what was printed for each test that failed. */
async function passOn(stream: ReadableStream<Uint8Array>, print: Print): Promise<string[]> {
  const failures: string[] = [];
  const decoder = new TextDecoder();
  let about: string[] = [];
  let rest = "";
  for await (const bytes of stream) {
    const text = decoder.decode(bytes, { stream: true });
    print(text);
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      about.push(line);
      if (/^\(fail\) /.test(line)) failures.push(about.join("\n"));
      if (/^\((pass|fail|skip|todo)\) /.test(line)) about = [];
    }
  }
  print(decoder.decode());
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
const LAST = ["test/oldest", "test/live"];

/**
 * They wait for an emulated machine, which keeps one processor busy, so they run beside all others.
 * What they print comes as a whole, when each is over.
 */
const BESIDE = ["test/iso/medium.test.ts", "test/machine"];

/** Runs parts one after the other. */
async function runAll(parts: readonly Part[], reports: string, beside: boolean): Promise<Tally[]> {
  const tallies: Tally[] = [];
  for (const part of parts) {
    if (!beside) {
      tallies.push(await runTests(part, reports, onTerminal));
      continue;
    }
    onTerminal(`\n== ${part.name} begins, beside the others\n`);
    let printed = "";
    const tally = await runTests(part, reports, (text) => {
      printed += text;
    });
    onTerminal(`${printed}\n== ${part.name} is over\n`);
    tallies.push(tally);
  }
  return tallies;
}

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
  const tools = [...ON_THE_HOST, ...((await isInTools()) ? ELSEWHERE : [])];
  await ensureHostPackages(tools, (packages) =>
    process.stdout.write(`Installing ${packages.join(" ")}\n`),
  );
  const chosen = process.argv.slice(2);
  const reports = mkdtempSync(join(tmpdir(), "protocol7-reports-"));
  const tallies: Tally[] = [];
  try {
    tallies.push(await runStep("build", ["scripts/build.ts"]));
    if (chosen.length === 0) tallies.push(await runStep("check", ["scripts/check.ts"]));
    const parts = (chosen.length > 0 ? chosen : testFolders()).flatMap(partsOf);
    const isBeside = (part: Part) => BESIDE.includes(part.name);
    const [others, beside] = await Promise.all([
      runAll(
        parts.filter((part) => !isBeside(part)),
        reports,
        false,
      ),
      runAll(parts.filter(isBeside), reports, true),
    ]);
    tallies.push(...others, ...beside);
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
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`test: ${error.message}\n`);
  process.exit(1);
}
