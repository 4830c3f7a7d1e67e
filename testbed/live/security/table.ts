/** What an attack was, and what became of it. */
export interface Attack {
  /** Who attacks. */
  readonly where: string;
  readonly name: string;
  /** The errno, or the end of what the attacked said. */
  readonly outcome: string;
  readonly refused: boolean;
  /** What refuses it. */
  readonly by: string;
  /** What the same meets where nothing of ours refuses it. */
  readonly control?: string;
  /** Whether the test system refuses it by itself, so that its refusal shows nothing. */
  readonly unproven?: boolean;
}

/** A longer outcome has a line of its own. */
const LONGEST = 100;

/** All of them, one after the other, those that succeeded marked. */
export function formatAttacks(attacks: readonly Attack[]): string {
  return attacks
    .map(({ where, name, outcome, refused, by, control, unproven }) =>
      [
        refused ? (unproven ? "unproven " : "refused  ") : "SUCCEEDED",
        where.padEnd(18),
        name.padEnd(34),
        by.padEnd(12),
        outcome.length > LONGEST ? `\n           ${outcome}` : outcome,
        ...(control === undefined ? [] : [`without a sandbox: ${control}`]),
      ].join("  "),
    )
    .join("\n");
}
