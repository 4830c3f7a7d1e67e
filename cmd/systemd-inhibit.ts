/** systemd-inhibit: runs a command with an inhibitor held. See docs/commands.md. */
export async function main(args: readonly string[]): Promise<number> {
  const { systemdInhibit } = await import("../lib/loginctl/index.ts");
  return systemdInhibit(args);
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
