/** A login as most tests want one. */
import type { Connection } from "../../../lib/dbus/index.ts";
import { type CreateOptions, callSession, createSession } from "./client.ts";
import type { World } from "./world.ts";

/** nobody, whom every system has. */
const USER = 65534;

/**
 * A session of nobody's on seat0, led by a process that does nothing, unless the options say otherwise.
 *
 * @returns it with its leader, and what calls its object's methods; the descriptor is the caller's to close
 */
export async function loginAtSeat(
  world: World,
  bus: Connection,
  options: Partial<CreateOptions> = {},
) {
  const leader = await world.leader();
  const made = await createSession(bus, {
    uid: USER,
    leader: leader.pid,
    seat: "seat0",
    ...options,
  });
  const call = (member: string, signature = "", body: unknown[] = []) =>
    callSession(bus, made.path, member, signature, body);
  return { ...made, leader, call };
}
