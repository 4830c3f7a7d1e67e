/** Running the shell files of the package in a folder that stands for the root of the system. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export const ROOT = join(import.meta.dir, "../..");

/** Shells that /bin/sh is somewhere, as far as this machine has them. */
export const SHELLS = ["dash", "bash", "zsh", "busybox"].filter((name) => Bun.which(name) !== null);

/** The command line of a shell, without any start files of the person who runs the test. */
export function shell(name: string): string[] {
  if (name === "busybox") return ["busybox", "sh"];
  if (name === "zsh") return ["zsh", "-f"];
  return name === "bash" ? ["bash", "--norc", "--noprofile"] : [name];
}

export class FakeRoot {
  constructor(readonly path: string) {}

  static async make(): Promise<FakeRoot> {
    return new FakeRoot(await mkdtemp(join(tmpdir(), "protocol7-root-")));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  /** Writes a file at its place in the system. */
  async write(path: string, text: string, mode = 0o644): Promise<string> {
    const file = join(this.path, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    await chmod(file, mode);
    return file;
  }

  read(path: string): Promise<string> {
    return Bun.file(join(this.path, path)).text();
  }

  /** Copies a file of the checkout, with the system's paths in it turned to ours. */
  async copy(source: string, target: string, mode = 0o755): Promise<string> {
    const text = await Bun.file(join(ROOT, source)).text();
    return this.write(target, this.here(text), mode);
  }

  /** The text with the system's paths turned to ours. */
  here(text: string): string {
    // A path begins where no path goes on before it.
    return text.replaceAll(
      /(?<![\w.*-])\/(?=(?:etc|run|proc|var|sys|usr\/libexec|usr\/lib\/sysusers\.d)\b)/g,
      `${this.path}/`,
    );
  }
}

/** Runs a command to its end; `env` is all its environment. */
export async function run(
  command: string[],
  options: { env?: Record<string, string>; stdin?: string } = {},
) {
  const child = Bun.spawn(command, {
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin", ...options.env },
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { stdout, stderr, exitCode };
}
