/** systemd-notify: tells the service manager how a service is. See docs/commands.md. */
export async function main(args: readonly string[]): Promise<number> {
  const { systemdNotify } = await import("../lib/notify/index.ts");
  return systemdNotify(args);
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
