/** `bun run tools COMMAND...`: runs a command in the root of Debian's newest parts, as the tests are. */
import { join } from "node:path";
import { HostError, requireRoot } from "../../scripts/host.ts";
import { UserError } from "../../scripts/user-error.ts";
import { runInTools } from "./root.ts";

const CHECKOUT = join(import.meta.dir, "../..");

try {
  requireRoot();
  const command = process.argv.slice(2);
  if (command.length === 0) throw new HostError("no command: try bun run tools bun test test/dbus");
  const report = (line: string) => process.stderr.write(`${line}\n`);
  process.exit(await runInTools(CHECKOUT, command, report));
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`tools: ${error.message}\n`);
  process.exit(1);
}
