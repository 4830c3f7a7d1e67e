/** What the tests of the session start share: the compiled executable, folders, a system bus. */
import { afterAll, afterEach } from "bun:test";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BusError, Connection, type IncomingCall } from "../../lib/dbus/index.ts";
import { userByName, watchProcess } from "../../lib/linux/index.ts";
import { readUntil } from "../support/read-until.ts";

/** The tests drop root for this user, who is in every user database. */
export const nobody = userByName("nobody") ?? { uid: 65534, gid: 65534, name: "nobody" };

const folders: string[] = [];
const cleanups: (() => void | Promise<void>)[] = [];

/** To be called at the top of every test file: hooks count for the file that registers them. */
export function cleanUp(): void {
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
  });
  afterAll(() => {
    if (binaries) rmSync(binaries, { recursive: true });
    binaries = undefined;
    compiled.clear();
  });
}

/** Has something done after the test, the last one first. */
export function afterwards(cleanup: () => void | Promise<void>): void {
  cleanups.push(cleanup);
}

/** A temporary folder that everybody may enter, gone after the test. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-session-"));
  chmodSync(path, 0o755);
  folders.push(path);
  return path;
}

/** A runtime folder of nobody's. */
export function runtimeFolder(mode = 0o700): string {
  const path = join(folder(), "run");
  mkdirSync(path);
  chownSync(path, nobody.uid, nobody.gid);
  chmodSync(path, mode);
  return path;
}

/** A folder with executable scripts in it, by their names. */
export function scripts(bodies: Record<string, string>): string {
  const path = folder();
  for (const [name, body] of Object.entries(bodies)) {
    writeFileSync(join(path, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  }
  return path;
}

const compiled = new Map<string, Promise<string>>();
let binaries: string | undefined;

/**
 * Compiles a file to an executable that nobody may run too: bun itself may lie in a folder that is
 * root's alone, and so may this checkout.
 */
export function compile(source: string): Promise<string> {
  binaries ??= mkdtempSync(join(tmpdir(), "p7-session-bin-"));
  chmodSync(binaries, 0o755);
  const outfile = join(binaries, `${compiled.size}`);
  const known = compiled.get(source);
  if (known) return known;
  const made = (async () => {
    const build = Bun.spawn(
      [
        process.execPath,
        "build",
        "--compile",
        "--no-compile-autoload-dotenv",
        "--no-compile-autoload-bunfig",
        "--external=x11",
        `--outfile=${outfile}`,
        source,
      ],
      { stdout: "pipe", stderr: "pipe", cwd: binaries ?? "." },
    );
    const [errors, status] = await Promise.all([build.stderr.text(), build.exited]);
    if (status !== 0) throw new Error(`bun build ${source}: ${errors}`);
    return outfile;
  })();
  compiled.set(source, made);
  return made;
}

export const lainosInit = () => compile(join(import.meta.dir, "../../cmd/lainos-init.ts"));

/** Starts a command as nobody; it is the process itself, without one between. */
export function asNobody(command: string[], environment: Record<string, string>) {
  const drop = [
    "setpriv",
    `--reuid=${nobody.uid}`,
    `--regid=${nobody.gid}`,
    "--clear-groups",
    "--",
  ];
  const child = Bun.spawn([...drop, ...command], {
    env: environment,
    cwd: "/",
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  afterwards(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  return child;
}

type Child = ReturnType<typeof asNobody>;

/** Reads a process's output up to where it matches, by default a line that says `ready`. */
export async function untilReady(child: Child, pattern = /^ready$/m): Promise<string> {
  try {
    return await readUntil(child.stdout, pattern);
  } catch (error) {
    throw new Error(`${String(error)}${await child.stderr.text()}`, { cause: error });
  }
}

/** What a process still writes, and how it ends. */
export async function finish(child: Child): Promise<{ out: string; err: string; status: number }> {
  const [out, err, status] = await Promise.all([
    rest(child.stdout),
    child.stderr.text(),
    child.exited,
  ]);
  return { out, err, status };
}

async function rest(stream: ReadableStream<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Resolves when a process has ended, reaped or not. */
export function ended(pid: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let end: (() => void) | undefined;
  try {
    end = watchProcess(pid, resolve);
  } catch {
    // It has ended before.
    resolve();
  }
  return promise.finally(() => end?.());
}

/** A private bus that stands for the system's, which everybody may use; its address. */
export async function systemBus(): Promise<string> {
  const where = folder();
  const config = join(where, "bus.conf");
  writeFileSync(
    config,
    `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=${where}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/>
    <allow send_type="method_call"/><allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/><allow receive_type="method_return"/>
    <allow receive_type="error"/><allow receive_type="signal"/>
  </policy>
</busconfig>`,
  );
  const daemon = Bun.spawn(
    ["dbus-daemon", `--config-file=${config}`, "--nofork", "--nopidfile", "--print-address=1"],
    { stdout: "pipe", stderr: "ignore" },
  );
  afterwards(async () => {
    daemon.kill();
    await daemon.exited;
  });
  const { value } = await daemon.stdout.getReader().read();
  return new TextDecoder().decode(value).trim();
}

/** What one method of the stand-in for login1 answers: a signature and a body. */
export type Answer = (body: unknown[], call: IncomingCall) => [string, unknown[]];

/** Answers as org.freedesktop.login1; a method that is not given answers UnknownMethod. */
export async function standInForLogin1(
  address: string,
  answers: Record<string, Answer>,
): Promise<{ calls: { member: string; body: unknown[] }[] }> {
  const connection = await Connection.open(address);
  afterwards(() => connection.close());
  const calls: { member: string; body: unknown[] }[] = [];
  connection.onCall((call) => {
    calls.push({ member: call.member, body: call.body });
    try {
      const answer = answers[call.member];
      if (!answer) {
        throw new BusError("org.freedesktop.DBus.Error.UnknownMethod", `no ${call.member}`);
      }
      connection.reply(call, ...answer(call.body, call));
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      connection.fail(call, error);
    }
  });
  await connection.requestName("org.freedesktop.login1");
  return { calls };
}

export { BusError };
