/** The compiled executables: what they obey, what they are called, and that they come out the same. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { link, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BUN_EXECUTABLE, build, EXECUTABLES, STANDALONE } from "../../scripts/build.ts";

const MINUTES = 60_000;

/** A folder with everything in it that Bun would read of its own accord. */
let trap: string;
/** The names, all of them the multi-call executable, as the package has them. */
let links: string;
const standalone = new Map<string, string>();

beforeAll(async () => {
  trap = await mkdtemp(join(tmpdir(), "protocol7-trap-"));
  links = await mkdtemp(join(tmpdir(), "protocol7-links-"));
  const marker = (what: string) =>
    `require("node:fs").writeFileSync(${JSON.stringify(join(trap, "sprung"))}, "${what}");\n`;
  for (const name of [".env", ".env.local", ".env.production", ".env.development"]) {
    // LAINOS_DEBUG is a variable of ours that can be seen from outside: it prints stacks.
    await writeFile(join(trap, name), "LAINOS_DEBUG=1\nFROM_DOTENV=read\n");
  }
  await writeFile(join(trap, "bunfig.toml"), 'preload = ["./preload.cjs"]\nlogLevel = "debug"\n');
  await writeFile(join(trap, "preload.cjs"), marker("preload"));
  await writeFile(
    join(trap, "package.json"),
    '{"type":"commonjs","imports":{"#x":"./preload.cjs"}}',
  );
  await writeFile(
    join(trap, "tsconfig.json"),
    '{"compilerOptions":{"paths":{"*":["./preload.cjs"]}}}',
  );
  for (const name of ["x11", "dbus-next", "usocket", "citty"]) {
    await mkdir(join(trap, "node_modules", name), { recursive: true });
    await writeFile(join(trap, "node_modules", name, "index.js"), marker(name));
  }

  const multicall = await build("protocol7");
  for (const name of STANDALONE) {
    standalone.set(EXECUTABLES[name], await build(name));
    // A hard link needs the same file system, which /tmp need not be.
    await link(multicall, join(links, EXECUTABLES[name])).catch(async () => {
      await Bun.write(join(links, EXECUTABLES[name]), Bun.file(multicall));
      await Bun.spawn(["chmod", "755", join(links, EXECUTABLES[name])]).exited;
    });
  }
}, 5 * MINUTES);

afterAll(async () => {
  await rm(trap, { recursive: true, force: true });
  await rm(links, { recursive: true, force: true });
});

/** Runs a program in the folder with the traps, without any environment but PATH. */
async function runInTrap(file: string, ...args: string[]) {
  await rm(join(trap, "sprung"), { force: true });
  const child = Bun.spawn([file, ...args], {
    cwd: trap,
    env: { PATH: "/usr/bin:/bin" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  const sprung = await Bun.file(join(trap, "sprung"))
    .text()
    .catch(() => undefined);
  return { stdout, stderr, exitCode, sprung };
}

describe("the current folder has no say", () => {
  test(
    "an executable that is compiled without our settings does obey it",
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "protocol7-control-"));
      try {
        await writeFile(join(folder, "a.ts"), "console.log(process.env.FROM_DOTENV);");
        const built = await Bun.build({
          entrypoints: [join(folder, "a.ts")],
          target: "bun",
          compile: {
            target: "bun-linux-x64-baseline",
            executablePath: BUN_EXECUTABLE,
            outfile: join(folder, "a"),
          },
        });
        expect(built.success).toBe(true);
        const { stdout, sprung } = await runInTrap(join(folder, "a"));
        expect(stdout).toBe("read\n");
        expect(sprung).toBe("preload");
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    MINUTES,
  );

  const both = STANDALONE.flatMap((name) =>
    (["multi-call", "standalone"] as const).map((kind) => [EXECUTABLES[name], kind] as const),
  );
  test.each(both)("%s (%s)", async (name, kind) => {
    const file = kind === "standalone" ? standalone.get(name) : join(links, name);
    if (file === undefined) throw new Error(`${name} was not built`);
    const version = await runInTrap(file, "--version");
    expect(version).toEqual({
      stdout: `${name} ${await packageVersion()}\n`,
      stderr: "",
      exitCode: 0,
      sprung: undefined,
    });
    // With LAINOS_DEBUG from .env there would be a stack below the line.
    const wrong = await runInTrap(file, "--no-such-option");
    // systemd's commands know one exit status for failures.
    expect(wrong.exitCode).toBe(name.startsWith("lainos-") ? 2 : 1);
    expect(wrong.stderr).toMatch(new RegExp(`^${name}: [^\\n]*\\n$`));
    expect(wrong.sprung).toBeUndefined();
  });
});

async function packageVersion(): Promise<string> {
  const text = await readFile(join(import.meta.dir, "../../package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

describe("the multi-call executable", () => {
  test("called by a name that it does not know, it says so in one line and ends with 2", async () => {
    const result = await runInTrap(join(import.meta.dir, "../../dist/protocol7"), "--version");
    expect(result.exitCode).toBe(2);
    expect(result.stdout).toBe("");
    expect(result.stderr).toMatch(/^protocol7: no such command: [^\n]*lainos-init[^\n]*\n$/);
  });
});

describe("the same sources", () => {
  test(
    "give the same bytes, whatever the current folder is",
    async () => {
      const hash = async (file: string) =>
        createHash("sha256")
          .update(await readFile(file))
          .digest("hex");
      const first = await hash(await build("protocol7"));
      const cwd = process.cwd();
      process.chdir("/");
      try {
        expect(await hash(await build("protocol7"))).toBe(first);
        expect(process.cwd()).toBe("/");
      } finally {
        process.chdir(cwd);
      }
    },
    2 * MINUTES,
  );
});
