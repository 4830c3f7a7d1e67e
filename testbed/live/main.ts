/** `bun run live`: the test system for people. See docs/live.md. */
import { defineCommand } from "citty";
import { PASSED_ON, run, UsageFailure } from "../../lib/cli/index.ts";
import { requireRoot } from "../../scripts/host.ts";
import { onInterrupt } from "../../scripts/lib/interrupt.ts";
import { destroy, runningInit } from "../../scripts/lib/overlay.ts";
import { reported } from "../../scripts/lib/report.ts";
import { isName, liveNames, NAME_RULE } from "../../scripts/lib/state.ts";
import { attachLive, screenshot } from "./index.ts";
import { formatRestrictions, readRestrictions, writeRestrictions } from "./restrictions.ts";
import { security } from "./security/main.ts";
import { start } from "./start.ts";

const nameArgument = {
  type: "string",
  description: "which test system",
  valueHint: "NAME",
  default: "lainos",
} as const;

const startArguments = {
  name: nameArgument,
  keep: { type: "boolean", description: "leave it running", default: false },
  json: { type: "boolean", description: "print one JSON object, no progress", default: false },
} as const;

interface StartArguments {
  readonly name: string;
  readonly keep: boolean;
  readonly json: boolean;
}

async function runStart({ name, keep, json }: StartArguments): Promise<void> {
  checked(name);
  await reported("live", async () => {
    requireRoot();
    process.exitCode = await onInterrupt((signal) => start({ name, keep, json, signal }));
  });
}

const startCommand = defineCommand({
  meta: { name: "start", description: "build, boot, show the session, open a shell (the default)" },
  args: startArguments,
  run: ({ args }) => runStart(args),
});

const stopCommand = defineCommand({
  meta: { name: "stop", description: "end a test system and remove all of it" },
  args: {
    name: nameArgument,
    all: { type: "boolean", description: "every one", default: false },
  },
  async run({ args }) {
    const name = checked(args.name);
    await reported("live", async () => {
      requireRoot();
      for (const each of args.all ? await liveNames() : [name]) await destroy(each);
    });
  },
});

const statusCommand = defineCommand({
  meta: { name: "status", description: "list the test systems" },
  async run() {
    await reported("live", async () => {
      const names = await liveNames();
      if (names.length === 0) console.log("no test system is there");
      for (const name of names) {
        const pid = await runningInit(name);
        console.log(pid === undefined ? `${name}  not running` : `${name}  running, init ${pid}`);
      }
    });
  },
});

const screenshotCommand = defineCommand({
  meta: { name: "screenshot", description: "save what liveuser's Sway shows as a PNG file" },
  args: {
    file: { type: "positional", description: "the PNG file", required: true },
    name: nameArgument,
  },
  async run({ args }) {
    const name = checked(args.name);
    await reported("live", async () => {
      requireRoot();
      await screenshot(await attachLive(name), args.file);
    });
  },
});

const execCommand = defineCommand({
  meta: { name: "exec", description: "run a command in it as root and pass on its exit status" },
  args: {
    name: nameArgument,
    [PASSED_ON]: { type: "positional", description: "-- and the command", required: false },
  },
  async run({ args, data }) {
    const name = checked(args.name as string);
    const command = data as string[];
    if (command.length === 0) throw new UsageFailure("no command: exec [--name NAME] -- CMD...");
    await reported("live", async () => {
      requireRoot();
      process.exitCode = await (await attachLive(name)).execHere(command);
    });
  },
});

const securityCommand = defineCommand({
  meta: { name: "security", description: "attack the daemons of a test system of its own" },
  args: {
    name: { ...nameArgument, default: "security" },
    seconds: {
      type: "string",
      description: "how long each flood goes on",
      valueHint: "N",
      default: "5",
    },
    only: {
      type: "string",
      description: "only floods with this in their name; - for all but floods",
      valueHint: "TEXT",
    },
    short: {
      type: "boolean",
      description: "what the tests run, with bounds that a busy machine keeps",
      default: false,
    },
  },
  async run({ args }) {
    const seconds = Number(args.seconds);
    if (!(seconds >= 1 && seconds <= 3600)) {
      throw new UsageFailure(`--seconds ${args.seconds}: use a number from 1 to 3600`);
    }
    const options = {
      name: checked(args.name),
      seconds,
      short: args.short,
      ...(args.only !== undefined && { only: args.only }),
    };
    await reported("live", async () => {
      requireRoot();
      process.exitCode = await onInterrupt((signal) => security(options, signal));
    });
  },
});

const restrictionsCommand = defineCommand({
  meta: { name: "restrictions", description: "show what each daemon may still do, by /proc" },
  args: {
    name: nameArgument,
    write: { type: "boolean", description: "put the table into docs/sandbox.md", default: false },
  },
  async run({ args }) {
    const name = checked(args.name);
    await reported("live", async () => {
      requireRoot();
      const table = formatRestrictions(await readRestrictions(await attachLive(name)));
      if (args.write) await writeRestrictions(table);
      console.log(table);
    });
  },
});

function checked(name: string): string {
  if (isName(name)) return name;
  throw new UsageFailure(`--name ${name}: ${NAME_RULE}`);
}

const main = defineCommand({
  meta: { name: "live", description: "OpenRC with protocol7-core, booted in namespaces" },
  args: startArguments,
  subCommands: {
    start: startCommand,
    stop: stopCommand,
    exec: execCommand,
    screenshot: screenshotCommand,
    restrictions: restrictionsCommand,
    security: securityCommand,
    status: statusCommand,
  },
  run: ({ args }) => runStart(args),
});

await run(main);
