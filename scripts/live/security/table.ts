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

/** All of them, one a line, those that succeeded marked. */
export function formatAttacks(attacks: readonly Attack[]): string {
  return attacks
    .map(({ where, name, outcome, refused, by, control, unproven }) =>
      [
        refused ? (unproven ? "unproven " : "refused  ") : "SUCCEEDED",
        where.padEnd(18),
        name.padEnd(34),
        by.padEnd(12),
        control === undefined ? outcome : `${outcome}; without a sandbox: ${control}`,
      ].join("  "),
    )
    .join("\n");
}
