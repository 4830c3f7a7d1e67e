/** Tables for people, and the same rows as JSON for programs. */
import { shorten, widthOf } from "./width.ts";

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

/**
 * Lines of a table, the header among them if wanted. Columns are as wide as their widest cell, and
 * a space apart; nothing follows the last one.
 */
export function tableLines(table: Table, header: boolean): string[] {
  const titles = table.columns.map((name) => name.toUpperCase());
  const rows = table.rows.flatMap((row) => linesOf(row, header ? table.widest : undefined));
  const lines = [...(header ? [titles] : []), ...rows];
  const widths = titles.map((_, at) => Math.max(...lines.map((line) => widthOf(line[at] ?? ""))));
  return lines.map((line) =>
    line
      .map((text, at) => {
        const space = " ".repeat((widths[at] ?? 0) - widthOf(text));
        if (at < table.numeric) return space + text;
        return at === line.length - 1 ? text : text + space;
      })
      .join(" "),
  );
}

/** The lines of a row: more than one where a text has several, each in its column. */
function linesOf(row: readonly Cell[], widest: number | undefined): string[][] {
  const cells = row.map(({ text }, at) =>
    text.split("\n").map((line) => shorten(line, at === 0 ? widest : undefined, 100)),
  );
  const height = Math.max(...cells.map(({ length }) => length));
  return Array.from({ length: height }, (_, at) => cells.map((lines) => lines[at] ?? ""));
}

/** The rows as objects, for JSON. */
export const tableObjects = (table: Table) =>
  table.rows.map((row) =>
    Object.fromEntries(table.columns.map((name, at) => [name, row[at]?.json])),
  );

/** How JSON is written. */
export type JsonMode = "short" | "pretty";

/** The text of a value as JSON, with its last newline. */
export const formatJson = (value: unknown, mode: JsonMode): string =>
  `${mode === "pretty" ? pretty(value, "") : JSON.stringify(value)}\n`;

/** Indented by tabs, with a space on both sides of the colon, as systemd's commands have it. */
function pretty(value: unknown, indent: string): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const inner = `${indent}\t`;
  const list = Array.isArray(value);
  const items = list
    ? value.map((item) => pretty(item, inner))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)} : ${pretty(item, inner)}`);
  const [open, end] = list ? ["[", "]"] : ["{", "}"];
  if (items.length === 0) return `${open}${end}`;
  return `${open}\n${items.map((item) => inner + item).join(",\n")}\n${indent}${end}`;
}
