/** systemd-notify --fork: a command of which somebody waits until it is ready. */
import { randomUUID } from "node:crypto";
import { writeSync } from "node:fs";
import { constants } from "node:os";
import { restoreOpenFilesLimit } from "../cli/index.ts";
import {
  bindDatagram,
  close,
  describeErrno,
  errno,
  type Fd,
  onReadiness,
  passCredentials,
  ReceiveBuffer,
  receive,
} from "../linux/index.ts";
import { NotifyError } from "./notify-error.ts";
import { MOST_BYTES } from "./parse.ts";

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
  const [name = ""] = command;
  const program = Bun.which(name);
  if (!program) {
    const reason = describeErrno(errno.ENOENT);
    process.stderr.write(`Failed to execute '${command.join(" ")}': ${reason}\n`);
    return EXIT_EXEC;
  }
  const socket = `@lainos-notify-${randomUUID()}`;
  const fd = bindDatagram(socket, passCredentials);
  restoreOpenFilesLimit();
  const child = Bun.spawn([program, ...command.slice(1)], {
    argv0: name,
    env: { ...process.env, NOTIFY_SOCKET: socket },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const pass = PASSED_ON.map((signal) => {
    const onSignal = () => child.kill(constants.signals[signal]);
    process.on(signal, onSignal);
    return () => process.off(signal, onSignal);
  });
  if (!quiet) writeSync(process.stdout.fd, `${child.pid}\n`);
  const { promise: isReady, resolve } = Promise.withResolvers<true>();
  const endWatch = onReadiness(fd, () => {
    if (saysReady(fd, child.pid)) resolve(true);
  });
  try {
    const ended = await Promise.race([isReady, child.exited]);
    if (ended === true) return 0;
    if (child.signalCode !== null) throw NotifyError.of("Failed to run event loop", errno.EPROTO);
    return ended;
  } finally {
    endWatch();
    close(fd);
    for (const stop of pass) stop();
    child.unref();
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
      process.stderr.write(
        `Received notification message from unexpected process ${sender} (expected ${pid}), ignoring.\n`,
      );
      continue;
    }
    isReady ||= Buffer.from(next.data).toString().split("\n").includes("READY=1");
  }
  return isReady;
}
