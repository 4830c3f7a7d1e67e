/** What an attack was, and what became of it. */
export interface Attack {
  /** Who attacks. */
  readonly where: string;
  readonly name: string;
  /** The errno, or the end of what the attacked said. */
  readonly outcome: string;
  readonly refused: boolean;
}

/** All of them, one a line, those that succeeded marked. */
export function formatAttacks(attacks: readonly Attack[]): string {
  return attacks
    .map(({ where, name, outcome, refused }) =>
      [refused ? "refused  " : "SUCCEEDED", where.padEnd(18), name.padEnd(34), outcome].join("  "),
    )
    .join("\n");
}
