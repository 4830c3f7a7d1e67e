/** lainos-dbus-bridge: answers as org.freedesktop.login1 on the system bus. */
import { defineCommand } from "citty";
import {
  announceReady,
  createLogger,
  Failure,
  onOutsideEnded,
  readyDescriptor,
  readyFdOption,
  run,
  settle,
} from "../lib/cli/index.ts";

import type { Bridge } from "../lib/login1/index.ts";

const NAME = "lainos-dbus-bridge";

const firmware = defineCommand({
  meta: { name: "firmware", description: "Sets an EFI variable of the next boot" },
  args: {
    which: { type: "positional", required: true, description: "setup, menu or entry" },
    value: {
      type: "string",
      required: true,
      description:
        "0 or 1; seconds, or nothing for no menu; an entry, or nothing for the usual one",
    },
  },
  async run({ args }) {
    const { setFirmware } = await import("../lib/login1/index.ts");
    setFirmware(args.which, args.value);
  },
});

export const command = defineCommand({
  meta: {
    name: NAME,
    description: "Answers as org.freedesktop.login1 on the system bus: sessions, users and seats",
  },
  args: {
    "ready-fd": readyFdOption,
    verbose: { type: "boolean", description: "log more" },
  },
  subCommands: { firmware },
  async run({ args }) {
    const ready = readyDescriptor(args["ready-fd"]);
    if (process.getuid?.() !== 0) {
      throw new Failure(
        "it has to be run as root: start it with rc-service lainos-dbus-bridge start",
      );
    }
    const { startBridge } = await import("../lib/login1/index.ts");
    const { DescriptorKeeper, Heartbeat } = await import("../lib/notify/index.ts");
    const log = createLogger(NAME, args.verbose);
    let bridge: Bridge | undefined;
    // From the start, since an unhandled SIGHUP ends a process.
    process.on("SIGHUP", () => bridge?.reload());
    bridge = await startBridge(log, new DescriptorKeeper(log));
    const stopped = new Promise<void>((resolve) => {
      for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => resolve());
    });
    announceReady(ready);
    const heartbeat = new Heartbeat(log);
    log.info("ready");
    settle(log);
    const outside = Promise.withResolvers<string>();
    const endWatch = onOutsideEnded(() =>
      outside.resolve("what works outside of the sandbox has ended"),
    );
    const lost = await Promise.race([
      stopped.then(() => undefined),
      bridge.closed,
      outside.promise,
    ]);
    endWatch();
    heartbeat.stop();
    bridge.stop();
    if (lost !== undefined) throw new Failure(lost);
    process.exit(0);
  },
});

if (import.meta.main) await run(command);
