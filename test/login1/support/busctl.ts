/** Debian's unmodified busctl in a world, and what it prints as values. */
import type { World } from "./world.ts";

export const LOGIN1 = "org.freedesktop.login1";

/** Runs busctl, which has to succeed; returns what it printed. */
export async function busctl(world: World, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await world.run(["busctl", ...words]);
  if (code !== 0) throw new Error(`busctl ${words.join(" ")}: exit status ${code}: ${stderr}`);
  return stdout;
}

/**
 * `busctl introspect` of an object of login1: the signatures of what its login1 interfaces have, by
 * names as `method Session.Lock`. A method's is `IN->OUT`.
 */
export async function introspect(world: World, path: string): Promise<Map<string, string>> {
  const members = new Map<string, string>();
  const text = (column: string) => (column === "-" ? "" : column);
  let name = "";
  for (const line of (await busctl(world, "introspect", LOGIN1, path)).split("\n").slice(1)) {
    const [word = "", kind = "", signature = "", result = ""] = line.split(/ +/);
    if (kind === "interface") name = word;
    if (!word.startsWith(".") || !name.startsWith(`${LOGIN1}.`)) continue;
    members.set(
      `${kind} ${name.slice(LOGIN1.length + 1)}${word}`,
      kind === "method" ? `${text(signature)}->${text(result)}` : text(signature),
    );
  }
  return members;
}
