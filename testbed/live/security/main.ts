/** `bun run live security`: attacks the daemons of a booted system, from inside and outside. */
import { HostError } from "../../../scripts/host.ts";
import { type Live, startLive } from "../index.ts";
import { attackByFloods, LOOSE, STRICT } from "./floods.ts";
import { attackIdentity } from "./identity.ts";
import { attackInside } from "./inside.ts";
import { attackOutside } from "./outside.ts";
import { attackByReach } from "./reach.ts";
import { type Attack, formatAttacks } from "./table.ts";

const ATTACKER = "mallory";

export interface AttackOptions {
  /** How long each flood goes on, in seconds. */
  readonly seconds: number;
  /** The short form, with bounds that a busy machine keeps too: for the tests. */
  readonly short?: boolean;
  /** Only floods whose name has this in it, and nothing else; "-" for no flood and all else. */
  readonly only?: string;
  readonly report?: (line: string) => void;
}

/** Runs all attacks in a booted system. It is not to be used for anything else afterwards. */
export async function attack(live: Live, options: AttackOptions): Promise<Attack[]> {
  const added = await live.exec(["useradd", "-m", "-s", "/bin/bash", ATTACKER]);
  if (added.code !== 0) throw new HostError(`useradd: ${added.stderr.trim()}`);
  const bounds = options.short ? LOOSE : STRICT;
  const floods =
    options.only === "-" ? [] : await attackByFloods(live, ATTACKER, { ...options, bounds });
  if (options.only !== undefined && options.only !== "-") return floods;
  // From outside first: what the control of the others does is not good for the system.
  const outside = await attackOutside(live, ATTACKER);
  outside.push(...(await attackIdentity(live, ATTACKER)));
  const reach = await attackByReach(live);
  return [...(await attackInside(live)), ...reach, ...outside, ...floods];
}

/** Boots a system, prints the table, ends the system; returns the exit status, 1 if one succeeded. */
export async function security(
  { name, ...options }: AttackOptions & { readonly name: string },
  signal: AbortSignal,
): Promise<number> {
  const live = await startLive({ name, signal });
  try {
    const report = (line: string) => console.error(line);
    const attacks = await attack(live, { ...options, report });
    console.log(formatAttacks(attacks));
    const lost = attacks.filter(({ refused }) => !refused).length;
    const unproven = attacks.filter((one) => one.refused && one.unproven).length;
    const refused = attacks.length - lost - unproven;
    console.log(
      `${attacks.length} attacks: ${refused} refused, ${lost} succeeded, ` +
        `${unproven} that this test system refuses without a sandbox too`,
    );
    return lost === 0 ? 0 : 1;
  } finally {
    await live.stop();
  }
}
