/** `bun run machine`: protocol7-core on a kernel of its own, in QEMU. See docs/machine.md. */
import { defineCommand } from "citty";
import { run, UsageFailure } from "../../lib/cli/index.ts";
import { requireRoot } from "../../scripts/host.ts";
import { onInterrupt } from "../../scripts/lib/interrupt.ts";
import { lines } from "../../scripts/lib/progress.ts";
import { reported } from "../../scripts/lib/report.ts";
import { isName, NAME_RULE } from "../../scripts/lib/state.ts";
import { type Machine, startMachine } from "./index.ts";

const VIEWS = [
  ["rc-status"],
  ["loginctl", "--no-pager", "list-sessions"],
  ["loginctl", "--no-pager", "seat-status", "seat0"],
] as const;

const main = defineCommand({
  meta: { name: "machine", description: "OpenRC with protocol7-core, booted in QEMU" },
  args: {
    name: { type: "string", description: "which machine", valueHint: "NAME", default: "lainos" },
    screendump: {
      type: "string",
      description: "save what the screen shows",
      valueHint: "FILE.png",
    },
  },
  async run({ args: { name, screendump } }) {
    if (!isName(name)) throw new UsageFailure(`--name ${name}: ${NAME_RULE}`);
    await reported("machine", async () => {
      requireRoot();
      await onInterrupt(async (signal) => {
        const report = lines((line) => console.log(line));
        const machine = await startMachine({ name, signal, report });
        try {
          for (const view of VIEWS) await show(machine, view);
          if (screendump !== undefined) await machine.screendump(screendump);
          if (process.stdin.isTTY) await shell(machine, signal);
        } finally {
          await machine.stop();
        }
      });
    });
  },
});

async function show(machine: Machine, command: readonly string[]): Promise<void> {
  const { stdout, stderr } = await machine.exec(command);
  console.log(`\n$ ${command.join(" ")}\n${`${stdout}${stderr}`.trimEnd()}`);
}

/** A line at a time, each by a shell of its own: there is no terminal in the machine for it. */
async function shell(machine: Machine, signal: AbortSignal): Promise<void> {
  console.log("\nEach line is run as root in the machine; an empty input (Ctrl-D) ends it.");
  process.stdout.write("# ");
  for await (const line of console) {
    signal.throwIfAborted();
    const { stdout, stderr, code } = await machine.exec(["bash", "-c", line]);
    process.stdout.write(`${stdout}${stderr}${code === 0 ? "" : `[status ${code}] `}# `);
  }
}

await run(main);
