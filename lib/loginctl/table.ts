/** Tables for people, and the same rows as JSON for programs. */
import { colours, visible } from "../cli/index.ts";
import { ellipsize, widthOf } from "./width.ts";

/** A cell: what is shown and what JSON has may differ. */
export interface Cell {
  text: string;
  /** null for a value that is not set. */
  json: unknown;
}

/** A cell without a value. */
export const UNSET: Cell = { text: "-", json: null };
/** A cell that is the same to both. */
export const cell = (value: string | number): Cell => ({ text: String(value), json: value });
/** A cell that is unset where the value is empty or 0. */
export const cellOrUnset = (value: string | number): Cell => (value ? cell(value) : UNSET);
export const yesNo = (value: boolean): Cell => ({ text: value ? "yes" : "no", json: value });

export interface Table {
  /** Names of the columns, in lower case as JSON has them. */
  columns: string[];
  /** How many columns from the left hold numbers, and are aligned to the right. */
  numeric: number;
  rows: Cell[][];
  /** How wide the first column may be below a header; it is cut even where lines are not. */
  widest?: number;
}

/** A line of a table: its cells, and what each is painted with. */
interface Line {
  cells: readonly string[];
  paints: readonly (colours.Paint | undefined)[];
  /** What the space between two cells is painted with. */
  gap: colours.Paint;
}

const unpainted: colours.Paint = (text) => text;

/**
 * Lines of a table, the header among them if wanted. Columns are as wide as their widest cell, and
 * a space apart; nothing follows the last one.
 *
 * @param room how wide a line may be, in characters; columns are cut for it. undefined for any width
 */
export function tableLines(table: Table, header: boolean, room?: number): string[] {
  const titles = table.columns.map((name) => name.toUpperCase());
  const head: Line = {
    cells: titles,
    paints: titles.map(() => colours.underlined),
    gap: colours.underlined,
  };
  const lines = [...(header ? [head] : []), ...table.rows.flatMap(linesOf)];
  const requested = titles.map((_, at) =>
    Math.max(...lines.map(({ cells }) => widthOf(cells[at] ?? ""))),
  );
  const widths = fitWidths(requested, room);
  const [first = 0] = widths;
  // Only a header can say how wide its column may be at most.
  if (header && table.widest !== undefined && room === undefined) {
    widths[0] = Math.min(first, table.widest);
  }
  return lines.map((line) => formatLine(line, widths, table.numeric));
}

function formatLine({ cells, paints, gap }: Line, widths: readonly number[], numeric: number) {
  return cells
    .map((text, at) => {
      const width = widths[at] ?? 0;
      const fitted = ellipsize(text, width);
      const space = " ".repeat(Math.max(0, width - widthOf(fitted)));
      const paint = paints[at];
      const isBareLast = at === cells.length - 1 && (paint === undefined || paint("") === "");
      const aligned =
        at < numeric ? space + fitted : isBareLast ? (fitted + space).trimEnd() : fitted + space;
      return (at === 0 ? "" : gap(" ")) + (paint ?? unpainted)(aligned);
    })
    .join("");
}

/**
 * How wide each column gets where all of them together may be too wide: one character each at least,
 * and of the rest an equal share for all that want one, which none takes more of than it asks for.
 */
function fitWidths(requested: readonly number[], room: number | undefined): number[] {
  const spaces = requested.length - 1;
  const wanted = spaces + requested.reduce((sum, width) => sum + width, 0);
  if (room === undefined || wanted <= room) return [...requested];
  const widths: (number | undefined)[] = requested.map(() => undefined);
  let extra = Math.max(0, room - spaces - requested.length);
  let left = requested.length;
  const give = (at: number, width: number) => {
    widths[at] = width;
    extra -= width - 1;
    left--;
  };
  // Whoever asks for less than a share leaves more to the others, which are looked at anew.
  for (let isSatisfied = true; isSatisfied; ) {
    const share = 1 + Math.floor(extra / Math.max(left, 1));
    const at = requested.findIndex((width, at) => widths[at] === undefined && share >= width);
    isSatisfied = at >= 0;
    if (isSatisfied) give(at, requested[at] ?? 1);
  }
  for (const [at, width] of requested.entries()) {
    if (widths[at] === undefined) give(at, Math.min(width, 1 + Math.floor(extra / left)));
  }
  return widths.map((width) => width ?? 1);
}

/** The lines of a row: more than one where a text has several, each in its column. */
function linesOf(row: readonly Cell[]): Line[] {
  const cells = row.map(({ text }) => text.split("\n").map(visible));
  const paints = row.map((cell) => (cell === UNSET ? colours.grey : undefined));
  const height = Math.max(...cells.map(({ length }) => length));
  return Array.from({ length: height }, (_, at) => ({
    ...{ cells: cells.map((lines) => lines[at] ?? ""), paints, gap: unpainted },
  }));
}

/** The rows as objects, for JSON. */
export const tableObjects = (table: Table) =>
  table.rows.map((row) =>
    Object.fromEntries(table.columns.map((name, at) => [name, row[at]?.json])),
  );

/** How JSON is written. */
export interface JsonMode {
  /** Indented, for people. */
  pretty: boolean;
  /** In colours, where there are any. */
  coloured: boolean;
}

/** The text of a value as JSON, with its last newline. */
export const formatJson = (value: unknown, mode: JsonMode): string =>
  `${jsonOf(value, mode, "")}\n`;

/** Indented by tabs, with a space on both sides of the colon, as systemd's commands have it. */
function jsonOf(value: unknown, mode: JsonMode, indent: string): string {
  if (typeof value !== "object" || value === null) return jsonWordOf(value ?? null, mode);
  const inner = `${indent}\t`;
  const list = Array.isArray(value);
  const colon = mode.pretty ? " : " : ":";
  const items = list
    ? value.map((item) => jsonOf(item, mode, inner))
    : Object.entries(value).map(
        ([key, item]) => jsonWordOf(key, mode) + colon + jsonOf(item, mode, inner),
      );
  const [open, end] = list ? ["[", "]"] : ["{", "}"];
  if (items.length === 0 || !mode.pretty) return `${open}${items.join(",")}${end}`;
  return `${open}\n${items.map((item) => inner + item).join(",\n")}\n${indent}${end}`;
}

/** A value that has no others in it; quotes are not coloured. */
function jsonWordOf(value: unknown, { coloured }: JsonMode): string {
  const text = JSON.stringify(value);
  if (!coloured) return text;
  if (typeof value === "string") return `"${colours.jsonText(text.slice(1, -1))}"`;
  return typeof value === "number" ? colours.jsonNumber(text) : colours.jsonWord(text);
}
