/**
 * All executables in one file: the command is the name it was called by. The package links this
 * one file under every name, because each standalone executable carries the whole of Bun with it.
 *
 * The modules are imported only when asked for: what a command does not use is not even parsed.
 */
import { basename } from "node:path";
import { run } from "../lib/cli/index.ts";

const COMMANDS = {
  "lainos-dbus-bridge": () => import("./dbus-bridge.ts"),
  "lainos-notifyd": () => import("./notifyd.ts"),
  "lainos-ghost-units": () => import("./ghost-units.ts"),
  "lainos-init": () => import("./lainos-init.ts"),
  "lainos-net-init": () => import("./net-init.ts"),
  "lainos-audio-init": () => import("./audio-init.ts"),
};

/** Those that stand in for systemd's: their command lines and exit statuses are not ours to choose. */
const FOREIGN = {
  loginctl: () => import("./loginctl.ts"),
  "systemd-inhibit": () => import("./systemd-inhibit.ts"),
  "systemd-notify": () => import("./systemd-notify.ts"),
};

// argv[0] as the caller wrote it. process.execPath would name any of the links, since they are the
// same file, and process.argv[0] is always "bun".
const name = basename(process.argv0);

if (Object.hasOwn(COMMANDS, name)) {
  const { command } = await COMMANDS[name as keyof typeof COMMANDS]();
  await run(command);
} else if (Object.hasOwn(FOREIGN, name)) {
  const { main } = await FOREIGN[name as keyof typeof FOREIGN]();
  process.exitCode = await main(process.argv.slice(2));
} else {
  const names = [...Object.keys(COMMANDS), ...Object.keys(FOREIGN)].join(", ");
  process.stderr.write(`${name}: no such command: call this file by one of the names ${names}\n`);
  process.exitCode = 2;
}
