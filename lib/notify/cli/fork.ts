/** systemd-notify --fork: a command of which somebody waits until it is ready. */
import { randomUUID } from "node:crypto";
import { writeSync } from "node:fs";
import { constants } from "node:os";
import { asScript, findExecutable, restoreOpenFilesLimit, say } from "../../cli/index.ts";
import {
  bindDatagram,
  close,
  describeErrno,
  errno,
  type Fd,
  hasCode,
  onReadiness,
  passCredentials,
  ReceiveBuffer,
  receive,
} from "../../linux/index.ts";
import { MOST_BYTES } from "../protocol/datagram.ts";
import { NotifyError } from "./notify-error.ts";

/** What a service manager of systemd's gives a command that cannot be executed (systemd.exec(5)). */
const EXIT_EXEC = 203;

/** What is passed on to the command as long as it is waited for. */
const PASSED_ON = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const;

/**
 * Starts a command, and waits until it says READY=1 or ends. It has no standard output: that has its
 * pid, and whoever reads that must not wait for the end of the command.
 *
 * @param quiet leaves the pid out
 * @returns 0 once it is ready, and goes on running; otherwise its exit status
 * @throws {NotifyError} if a signal ended it
 */
export async function forkAndWait(command: readonly string[], quiet: boolean): Promise<number> {
  const socket = `@lainos-notify-${randomUUID()}`;
  const fd = bindDatagram(socket, passCredentials);
  restoreOpenFilesLimit();
  const { promise: isReady, resolve } = Promise.withResolvers<"ready">();
  let child: Bun.Subprocess<"ignore", "ignore", "inherit"> | undefined;
  const endWatch = onReadiness(fd, () => {
    if (child && saysReady(fd, child.pid)) resolve("ready");
  });
  // Before the command is there, so that none is missed: they are dealt with when it is.
  const pass = PASSED_ON.map((signal) => {
    const onSignal = () => child?.kill(constants.signals[signal]);
    process.on(signal, onSignal);
    return () => process.off(signal, onSignal);
  });
  try {
    child = start(command, { ...process.env, NOTIFY_SOCKET: socket });
    if (!child) return EXIT_EXEC;
    if (!quiet) writeSync(process.stdout.fd, `${child.pid}\n`);
    const first = await Promise.race([isReady, child.exited]);
    // What it said just before its end counts.
    if (first === "ready" || saysReady(fd, child.pid)) return 0;
    if (child.signalCode !== null) throw NotifyError.of("Failed to run event loop", errno.EPROTO);
    return first;
  } finally {
    endWatch();
    close(fd);
    for (const stop of pass) stop();
    child?.unref();
  }
}

/** Starts the command; undefined, and a line on standard error, if it cannot be executed. */
function start(command: readonly string[], env: NodeJS.ProcessEnv) {
  const [name = "", ...args] = command;
  const program = findExecutable(name);
  const spawn = (words: string[], argv0: string) =>
    Bun.spawn(words, { argv0, env, stdio: ["ignore", "ignore", "inherit"] });
  const refuse = (number: number) => {
    say("error", `Failed to execute '${command.join(" ")}': ${describeErrno(number)}`);
    return undefined;
  };
  if (typeof program === "number") return refuse(program);
  try {
    return spawn([program, ...args], name);
  } catch (error) {
    if (hasCode(error, "ENOEXEC")) return spawn(asScript(program, args), "sh");
    return refuse(Math.abs((error as NodeJS.ErrnoException).errno ?? errno.EIO));
  }
}

/** Reads all that came; whether the command said in it that it is ready. */
function saysReady(fd: Fd, pid: number): boolean {
  const buffer = new ReceiveBuffer(MOST_BYTES);
  let isReady = false;
  for (let next = receive(fd, buffer); next; next = receive(fd, buffer)) {
    // A barrier's descriptor is among them, and to close it is the answer.
    for (const passed of next.fds) close(passed);
    const sender = next.credentials?.pid ?? 0;
    if (sender !== pid) {
      const what = "Received notification message from unexpected process";
      say("warning", `${what} ${sender} (expected ${pid}), ignoring.`);
      continue;
    }
    isReady ||= Buffer.from(next.data).toString().split("\n").includes("READY=1");
  }
  return isReady;
}
