/** lainos-notifyd: the receiving end of sd_notify(3), /run/systemd/notify. */
import { defineCommand } from "citty";
import {
  announceReady,
  createLogger,
  readyDescriptor,
  readyFdOption,
  run,
} from "../lib/cli/index.ts";

const NAME = "lainos-notifyd";

export const command = defineCommand({
  meta: { name: NAME, description: "Receives what services say of themselves by sd_notify(3)" },
  args: {
    socket: {
      type: "string",
      default: "/run/systemd/notify",
      valueHint: "PATH",
      description: "the socket to receive at",
    },
    readyFd: readyFdOption,
    verbose: { type: "boolean", description: "log barriers too" },
  },
  async run({ args }) {
    const ready = readyDescriptor(args.readyFd);
    const log = createLogger(NAME, args.verbose);
    const { claimSocket, NotifyServer } = await import("../lib/notify/index.ts");
    const socket = claimSocket(args.socket);
    const server = new NotifyServer(socket.fd, { log });
    const stop = () => {
      process.off("SIGTERM", stop).off("SIGINT", stop);
      server.stop();
      socket.release();
    };
    process.on("SIGTERM", stop).on("SIGINT", stop);
    announceReady(ready);
    log.info(`receiving at ${args.socket}`);
  },
});

if (import.meta.main) await run(command);
