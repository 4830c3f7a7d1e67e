/** Printing a list, with its header and how many there are. */
import type { Output } from "./output.ts";
import { formatJson, type JsonMode, type Table, tableLines, tableObjects } from "./table.ts";

export interface ListOptions {
  /** The header, and the count at the end. */
  legend: boolean;
  json: JsonMode | undefined;
  /** -l: nothing is cut to the width of the terminal. */
  full?: boolean;
  /** Whether a list without rows has its header all the same. */
  headerWhenEmpty?: boolean;
}

/** Prints the rows, sorted already. @param what they are, in the plural: `sessions` */
export function printList(output: Output, table: Table, what: string, options: ListOptions): void {
  if (options.json) {
    output.write(formatJson(tableObjects(table), options.json));
    return;
  }
  if (table.rows.length > 0 || options.headerWhenEmpty) {
    const room = options.full ? undefined : output.width;
    for (const line of tableLines(table, options.legend, room)) output.line(line);
  }
  if (!options.legend) return;
  if (table.rows.length === 0) output.line(`No ${what}.`);
  else {
    output.line();
    output.line(`${table.rows.length} ${what} listed.`);
  }
}
