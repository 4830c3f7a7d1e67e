/** A real polkitd on a world's bus, with the policy that the package ships and rules of the test's own. */
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { hasOwner } from "./client.ts";
import type { World } from "./world.ts";

const POLICY = resolve(
  import.meta.dir,
  "../../../files/usr/share/polkit-1/actions/org.freedesktop.login1.policy",
);

// Only what is written here counts: not the policies of this machine's other packages.
const SETUP = `set -e
mount -t tmpfs -o mode=755 tmpfs /usr/share/polkit-1/actions
cp "$1" /usr/share/polkit-1/actions/
mount -t tmpfs -o mode=755 tmpfs /etc/polkit-1/rules.d
`;

/** Starts polkitd and waits until it has its name. It ends with the world, or by `kill`. */
export async function startPolkitd(
  world: World,
  bus: Connection,
  rules = "",
): Promise<Bun.Subprocess> {
  const setup = await world.run(["sh", "-c", SETUP, "sh", POLICY]);
  if (setup.code !== 0) throw new Error(`no place for polkit: ${setup.stderr}`);
  writeFileSync(join(world.root, "etc/polkit-1/rules.d/10-test.rules"), rules);
  const child = Bun.spawn(world.inside(["/usr/lib/polkit-1/polkitd", "--no-debug"]), {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  await world.until("polkitd is on the bus", () => hasPolkit(bus));
  return child;
}

/** Whether somebody has polkit's name. */
export const hasPolkit = (bus: Connection) => hasOwner(bus, "org.freedesktop.PolicyKit1");
