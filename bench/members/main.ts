/** `bun run members`: login1's members beside systemd's and elogind's; see docs/members.md. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../../scripts/build.ts";
import { ensureHostPackages, requireRoot } from "../../scripts/host.ts";
import { UserError } from "../../scripts/user-error.ts";
import { faults, insertTables, tables } from "../../testbed/members/compare.ts";
import { readContract } from "../../testbed/members/contract.ts";
import { runAgainInTools } from "../../testbed/tools/root.ts";
import { fetchElogind } from "../peer.ts";
import { membersOfBridge, membersOfElogind } from "./server.ts";

const PAGE = join(ROOT, "docs/members.md");

const USAGE = `usage: bun run members [--write | --check]

Starts lainos-dbus-bridge and elogind, asks both which members they have, and
prints the tables. Exit status 1 if ours is not as login1 is to be.

  --write  put the tables into docs/members.md
  --check  print no tables; exit status 1 also if docs/members.md has others
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      write: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  requireRoot();
  const status = await runAgainInTools(ROOT, (line) => process.stderr.write(`${line}\n`));
  if (status !== undefined) {
    process.exitCode = status;
    return;
  }
  await ensureHostPackages(["dbus-daemon", "unshare", "nsenter"], (packages) =>
    process.stderr.write(`installing ${packages.join(" ")}\n`),
  );
  const peer = await fetchElogind();
  const contract = await readContract();
  const hidden = contract.filter((member) => member.hidden);
  const [ours, theirs] = [await membersOfBridge(hidden), await membersOfElogind(peer, hidden)];
  const wrong = faults(contract, ours);
  const text = tables(contract, theirs, ours, peer.version);
  const page = await Bun.file(PAGE).text();
  const written = insertTables(page, text);
  if (values.write) await Bun.write(PAGE, written);
  else if (!values.check) process.stdout.write(`${text}\n`);
  else if (written !== page) wrong.push("docs/members.md is old: run bun run members --write");
  for (const line of wrong) process.stderr.write(`members: ${line}\n`);
  if (wrong.length > 0) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  const known = error instanceof UserError || (error instanceof TypeError && "code" in error);
  if (!known) throw error;
  process.stderr.write(`members: ${error.message}\n`);
  process.exitCode = 1;
}
