/** lainos-audio-init: the cards' mixers at boot (--system), the sound servers in a session. */
import { defineCommand } from "citty";
import { confine, createLogger, Failure, run, UsageFailure } from "../lib/cli/index.ts";

const NAME = "lainos-audio-init";

export const command = defineCommand({
  meta: {
    name: NAME,
    description: "Restores the sound cards' mixers at boot; starts PipeWire in a session",
  },
  args: {
    system: { type: "boolean", description: "only restore the mixers (what root does anyway)" },
    session: { type: "boolean", description: "only start the sound servers, also as root" },
    jack: { type: "boolean", description: "start jackd in place of PipeWire, where installed" },
  },
  async run({ args }) {
    if (args.system && args.session) {
      throw new UsageFailure("--system and --session: only one of them");
    }
    if (args.system && args.jack) {
      throw new UsageFailure("--jack: for a session's sound servers, not for --system");
    }
    const log = createLogger(NAME);
    await confine("audio-init");
    const { restoreCards, runSession } = await import("../lib/audio/index.ts");
    const system = args.system || (!args.session && !args.jack && process.getuid?.() === 0);
    if (system) {
      if (!(await restoreCards({ log }))) throw new Failure("not all sound cards were restored");
      return;
    }
    const stop = new AbortController();
    const abort = () => stop.abort();
    process.on("SIGTERM", abort).on("SIGINT", abort);
    const good = await runSession({ log, jack: args.jack ?? false }, stop.signal);
    if (!good) throw new Failure("not all sound servers ran to the end: see above");
  },
});

if (import.meta.main) await run(command);
