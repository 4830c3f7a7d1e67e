/** Figures as a table. */
import type { Counts, Figures } from "./measure.ts";
import type { NotifyFigures, NotifyRounds } from "./notify.ts";

/** The middle of many measurements, and how far they went. */
export interface Spread {
  median: number;
  least: number;
  most: number;
}

/** @param values at least one */
export function spread(values: number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const half = sorted.length / 2;
  const median = Number.isInteger(half) ? (at(half - 1) + at(half)) / 2 : at(Math.floor(half));
  return { median, least: at(0), most: at(sorted.length - 1) };
}

/** One row: what it is, and where to find its values in a round's figures. */
interface Row {
  label: string;
  values: (figures: Figures) => number[];
  digits: number;
}

const megabytes = (kibibytes: number) => [(kibibytes * 1024) / 1e6];

function rows({ sessions, idle }: Counts, calls: number): Row[] {
  const many = `${sessions} sessions`;
  const after = `after ${calls.toLocaleString("en")} calls`;
  return [
    { label: "exec to owning the name, ms", values: (at) => [at.start], digits: 1 },
    {
      label: "ListSessions calls a second, 1 session, one after the other",
      values: (at) => [at.oneInTurn],
      digits: 0,
    },
    {
      label: "ListSessions calls a second, 1 session, 8 in flight",
      values: (at) => [at.oneInFlight],
      digits: 0,
    },
    {
      label: `ListSessions calls a second, ${many}, one after the other`,
      values: (at) => [at.allInTurn],
      digits: 0,
    },
    {
      label: `ListSessions calls a second, ${many}, 8 in flight`,
      values: (at) => [at.allInFlight],
      digits: 0,
    },
    {
      label: `the server's processor time a call, ${many}, µs`,
      values: (at) => [at.allCost],
      digits: 0,
    },
    {
      label: "CreateSession to reply, the user's first, ms",
      values: (at) => [at.createFirst],
      digits: 1,
    },
    {
      label: `CreateSession to reply, the next ${sessions - 1}, ms`,
      values: (at) => at.create,
      digits: 1,
    },
    { label: `RSS idle for ${idle} s, MB`, values: (at) => megabytes(at.idleRss), digits: 1 },
    { label: "... PSS, MB", values: (at) => megabytes(at.idlePss), digits: 1 },
    { label: "... USS, MB", values: (at) => megabytes(at.idleUss), digits: 1 },
    {
      label: "... of it anonymous (not the executable's pages), MB",
      values: (at) => megabytes(at.idleAnonymous),
      digits: 1,
    },
    { label: `RSS ${after}, MB`, values: (at) => megabytes(at.calledRss), digits: 1 },
    {
      label: "... of it anonymous, MB",
      values: (at) => megabytes(at.calledAnonymous),
      digits: 1,
    },
  ];
}

function format(values: number[], digits: number): string {
  const { median, least, most } = spread(values);
  const text = (value: number) =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${text(median)} (${text(least)}–${text(most)})`;
}

/** A table of markdown, its columns padded. */
function table(lines: string[][]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  const text = (cells: string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const [head = [], ...rest] = lines;
  return [text(head), text(widths.map((width) => "-".repeat(width))), ...rest.map(text)].join("\n");
}

/** The servers side by side: the median of each figure, and its least and most. */
export function compare(measured: Map<string, Figures[]>, counts: Counts): string {
  const all = [...measured.values()];
  const calls = all[0]?.[0]?.calls ?? 0;
  const lines = rows(counts, calls).map(({ label, values, digits }) => [
    label,
    ...all.map((rounds) => format(rounds.flatMap(values), digits)),
  ]);
  return table([["", ...measured.keys()], ...lines]);
}

/** The receivers of datagrams side by side. */
export function compareNotify({ ours, sink }: NotifyRounds): string {
  const line = (label: string, value: (at: NotifyFigures) => number, digits: number) => [
    label,
    ...[ours, sink].map((rounds) => format(rounds.map(value), digits)),
  ];
  return table([
    ["", "lainos-notifyd", "a sink in C"],
    line("datagrams a second, of 50 senders at once", ({ rate }) => rate, 0),
    line("RSS after 100,000, MB", ({ rss }) => (rss * 1024) / 1e6, 1),
  ]);
}

/** What has no peer. */
export interface OwnFigures {
  packageBytes?: number;
  installedBytes?: number;
  /** Of `lainos-init --version`, in ms. */
  starts: number[];
}

/** The same for what has no peer, with the limits that it has to keep. */
export function own({ packageBytes, installedBytes, starts }: OwnFigures): string {
  const megabytes = (bytes?: number) => (bytes === undefined ? "–" : (bytes / 1e6).toFixed(1));
  return table([
    ["", "protocol7-core", "limit"],
    ["package, MB", megabytes(packageBytes), "50"],
    ["installed, MB", megabytes(installedBytes), "125"],
    ["lainos-init --version, ms", format(starts, 1), "60"],
  ]);
}

const BEGIN = "<!-- figures: written by bun run bench --write -->";
const END = "<!-- end of figures -->";

/**
 * A page with new figures between its two markers.
 *
 * @throws {Error} if it has not both
 */
export function insertFigures(page: string, figures: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`no place for figures: ${BEGIN} and ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${figures}\n\n${page.slice(end)}`;
}
