/** Rows of text in columns, for people. */

/**
 * A line for each row, its cells two spaces apart; a column is as wide as its widest cell on a
 * terminal, and nothing follows the last cell.
 */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const cells of rows) {
    for (const [at, cell] of cells.entries()) {
      widths[at] = Math.max(widths[at] ?? 0, Bun.stringWidth(cell));
    }
  }
  return rows.map((cells) =>
    cells
      .map((cell, at) => cell + " ".repeat((widths[at] ?? 0) - Bun.stringWidth(cell)))
      .join("  ")
      .trimEnd(),
  );
}
