/** lainos-init: from a login to the desktop. See docs/lainos-init.md. */
import { defineCommand } from "citty";
import { createLogger, Failure, PASSED_ON, run, syslogSink } from "../lib/cli/index.ts";

const pam = defineCommand({
  meta: {
    name: "pam",
    description: "Registers or ends a login session with login1; run by pam_systemd.so as root",
  },
  args: {
    [PASSED_ON]: {
      type: "positional",
      required: false,
      description: "the arguments of the module's line: class=, type=, desktop=",
    },
  },
  async run({ data }) {
    const { pamSession } = await import("../lib/session/index.ts");
    const words = (data as string[] | undefined) ?? [];
    // What is printed to standard error is thrown away by the module.
    const log = syslogSink("lainos-init");
    try {
      const lines = await pamSession(process.env, words, (message) => log("warning", message));
      process.stdout.write(lines.map((line) => `${line}\n`).join(""));
    } catch (error) {
      if (error instanceof Failure) log("error", error.message);
      throw error;
    }
  },
});

export const command = defineCommand({
  meta: {
    name: "lainos-init",
    description: "Starts the desktop of a login session in place of itself",
  },
  args: {
    desktop: {
      type: "positional",
      required: false,
      description: "sway, openbox, or the name of a file in wayland-sessions or xsessions",
    },
    audio: {
      type: "boolean",
      default: true,
      description: "start lainos-audio-init beside it",
      negativeDescription: "leave the sound alone",
    },
    "print-env": {
      type: "boolean",
      default: false,
      description: "print what would be set and executed, and do nothing",
    },
    [PASSED_ON]: {
      type: "positional",
      required: false,
      description: "what follows goes to the desktop",
    },
  },
  subCommands: { pam },
  async run({ args, data }) {
    const { startSession } = await import("../lib/session/index.ts");
    await startSession({
      desktop: args.desktop,
      args: (data as string[] | undefined) ?? [],
      audio: args.audio,
      printEnvironment: args["print-env"],
      log: createLogger("lainos-init"),
    });
  },
});

if (import.meta.main) await run(command);
