/** The command `live start`: boots, shows what there is, and gives a person a shell in it. */
import { intro, log, note, outro } from "@clack/prompts";
import { HostError } from "../../scripts/host.ts";
import { drawn, lines, quiet, type Reporter, timing } from "../../scripts/lib/progress.ts";
import { LIVE_USER, type Live, type ServiceState, startLive } from "./index.ts";

export interface StartOptions {
  readonly name: string;
  readonly keep: boolean;
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/** What a person looks at first in the booted system. */
const VIEWS = [
  ["rc-status"],
  ["loginctl", "--no-pager", "list-sessions"],
  ["loginctl", "--no-pager", "session-status"],
] as const;

/**
 * @returns the exit status: 1 where the system is up and a service of it failed.
 * @throws HostError where it did not come up.
 */
export async function start({ name, keep, json, signal }: StartOptions): Promise<number> {
  const terminal = !json && process.stdin.isTTY && process.stdout.isTTY;
  const seconds: Record<string, number> = {};
  const report = timing(reporter(terminal, json), (title, time) => {
    seconds[title] = Math.round(time) / 1000;
  });
  if (terminal) intro(`Protocol 7, test system ${name}`);
  const live = await startLive({ name, signal, report });
  let kept = false;
  try {
    const failed = failedServices(await live.services());
    if (json) console.log(JSON.stringify(await summary(live, seconds), null, 2));
    else await show(live, failed, terminal);
    signal.throwIfAborted();
    if (terminal) await shell(live);
    kept = keep;
    return failed.length > 0 ? 1 : 0;
  } finally {
    if (!kept) await live.stop();
    if (terminal) outro(kept ? howToGoOn(name) : `${name} has ended and is removed`);
    else if (kept && !json) console.log(howToGoOn(name));
  }
}

function reporter(terminal: boolean, json: boolean): Reporter {
  if (json) return quiet;
  // A terminal that does not know its width (columns 0) cannot be drawn on.
  return terminal && process.stdout.columns >= 40 ? drawn : lines((line) => console.log(line));
}

function howToGoOn(name: string): string {
  return `${name} goes on: bun run live exec --name ${name} -- CMD..., bun run live stop --name ${name}`;
}

function failedServices(services: Readonly<Record<string, ServiceState>>): string[] {
  return Object.keys(services).filter((name) => services[name] !== "started");
}

async function show(live: Live, failed: readonly string[], terminal: boolean): Promise<void> {
  for (const command of await views(live)) {
    const { stdout, stderr, code } = await live.exec(command);
    if (code !== 0) throw new HostError(`${command.join(" ")}: status ${code}: ${stderr.trim()}`);
    if (terminal)
      note(stdout.trimEnd().replaceAll("\t", "        "), command.join(" "), {
        format: (line) => line,
      });
    else console.log(`\n$ ${command.join(" ")}\n${stdout.trimEnd()}`);
  }
  if (failed.length === 0) return;
  const text = `not started: ${failed.join(", ")}`;
  if (terminal) log.error(text);
  else console.error(`live: ${text}`);
}

/** `session-status` without a session's name would ask for the caller's, and we are in none. */
async function views(live: Live): Promise<string[][]> {
  const session = (await live.sessions()).find(({ user }) => user === LIVE_USER);
  return VIEWS.map((view) =>
    view.at(-1) === "session-status" && session ? [...view, session.id] : [...view],
  );
}

async function summary(live: Live, seconds: Readonly<Record<string, number>>) {
  const { name, initPid } = live;
  return {
    name,
    initPid,
    seconds,
    sessions: await live.sessions(),
    services: await live.services(),
  };
}

async function shell(live: Live): Promise<void> {
  log.info("A root shell in it; exit ends the test system");
  await live.execHere(["bash", "-l"]);
}
