/** A polkit agent on this terminal, so that a password can be asked for where there is no desktop. */
import { isatty } from "node:tty";
import { close, socketPair, waitForHangUp } from "../linux/index.ts";

const AGENT = "/usr/bin/pkttyagent";

/**
 * Starts pkttyagent(1) and waits until it is registered. Root is asked for nothing, and without a
 * terminal there is nobody to ask.
 *
 * @returns a function that ends it
 */
export async function startAgent(): Promise<() => Promise<void>> {
  const nothing = async () => {};
  if (process.geteuid?.() === 0 || !isatty(0) || !(await Bun.file(AGENT).exists())) return nothing;
  const [ours, theirs] = socketPair();
  const child = Bun.spawn(
    [AGENT, "--process", String(process.pid), "--notify-fd", "3", "--fallback"],
    { stdio: ["inherit", "inherit", "inherit", theirs] },
  );
  close(theirs);
  // It closes the descriptor when it is ready, and so does its end.
  waitForHangUp(ours, -1);
  close(ours);
  return async () => {
    child.kill("SIGTERM");
    child.kill("SIGCONT");
    await child.exited;
  };
}
