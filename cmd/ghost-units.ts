/** lainos-ghost-units: makes the folders of /run/systemd that libsystemd and its clients need. */
import { defineCommand } from "citty";
import { createLogger, Failure, run, visible } from "../lib/cli/index.ts";

const NAME = "lainos-ghost-units";

export const command = defineCommand({
  meta: {
    name: NAME,
    description: "Makes the folders of /run/systemd that libsystemd and its clients need",
  },
  args: {
    check: { type: "boolean", description: "change nothing, say what differs, exit 1 if anything" },
    root: {
      type: "string",
      default: "/",
      valueHint: "DIR",
      description: "work below DIR instead of /",
    },
  },
  async run({ args }) {
    const { inspectTree, makeTree } = await import("../lib/ghost/index.ts");
    if (args.check) {
      const found = inspectTree(args.root);
      for (const { path, what } of found) process.stdout.write(`${visible(`${path} ${what}`)}\n`);
      if (found.length > 0) process.exitCode = 1;
      return;
    }
    const log = createLogger(NAME);
    const found = makeTree(args.root);
    const blocked = found.filter((difference) => difference.blocked);
    for (const { path, what } of blocked) log.error(`${path} ${what}`);
    for (const difference of found) {
      if (!difference.blocked) log.info(`${difference.path} ${difference.what}: mended`);
    }
    if (blocked.length > 0) throw new Failure(`${blocked.length} not as they must be: see above`);
  },
});

if (import.meta.main) await run(command);
