/** What login1 tells everybody, in words. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import type { World } from "./world.ts";

/** Notes every signal of login1 in `events`, as the state of its files was when it came. */
export async function noteSignals(
  world: World,
  connection: Connection,
  events: string[],
): Promise<void> {
  const manager = "org.freedesktop.login1.Manager";
  const sender = "org.freedesktop.login1";
  for (const member of ["SessionNew", "SessionRemoved", "UserNew", "UserRemoved"]) {
    await connection.onSignal({ sender, interface: manager, member }, ([id]) => {
      const folder = member.startsWith("Session") ? "sessions" : "users";
      const there = existsSync(join(world.root, "run/systemd", folder, String(id)));
      events.push(`${member} ${id} ${there ? "file" : "no file"}`);
    });
  }
  for (const member of ["Lock", "Unlock"]) {
    const match = { sender, interface: "org.freedesktop.login1.Session", member };
    await connection.onSignal(match, (_body, { path }) => {
      events.push(`${member} ${path.split("/").at(-1)}`);
    });
  }
  const properties = {
    sender,
    interface: "org.freedesktop.DBus.Properties",
    member: "PropertiesChanged",
  };
  await connection.onSignal(properties, ([name, values], { path }) => {
    for (const [key, { value }] of Object.entries(values as Record<string, { value: unknown }>)) {
      const kind = String(name).split(".").at(-1);
      events.push(`${kind} ${path.split("/").at(-1)} ${key}=${JSON.stringify(value)}`);
    }
  });
}
