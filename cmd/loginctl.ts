/** loginctl: shows and controls sessions, users and seats. See docs/commands.md. */
export async function main(args: readonly string[]): Promise<number> {
  const { loginctl } = await import("../lib/loginctl/index.ts");
  return loginctl(args);
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
