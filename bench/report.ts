/** Figures as a table. */
import { insertBetween, table } from "../scripts/page.ts";
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
  /** Whether a higher figure is the better one. */
  rate?: boolean;
}

const megabytes = (kibibytes: number) => [(kibibytes * 1024) / 1e6];

/** The rows of one kind of call. */
function callRows(what: string, label: "one" | "all" | "getAll"): Row[] {
  const rate = (how: string, key: "InTurn" | "Few" | "Many"): Row => ({
    label: `${what} a second, ${how}`,
    values: (at) => [at[`${label}${key}`]],
    digits: 0,
    rate: true,
  });
  const cost = (how: string, key: "Cost" | "ManyCost"): Row => ({
    label: `... processor time of the server a call, ${how}, µs`,
    values: (at) => [at[`${label}${key}`]],
    digits: 0,
  });
  return [
    rate("one after the other", "InTurn"),
    rate("8 in flight", "Few"),
    rate("64 in flight", "Many"),
    cost("one after the other", "Cost"),
    cost("64 in flight", "ManyCost"),
  ];
}

function rows({ sessions, idle }: Counts, calls: number): Row[] {
  const after = `after ${calls.toLocaleString("en")} calls`;
  return [
    { label: "exec to owning the name, ms", values: (at) => [at.start], digits: 1 },
    ...callRows("ListSessions of 1 session", "one"),
    ...callRows(`ListSessions of ${sessions} sessions`, "all"),
    ...callRows("GetAll of a session", "getAll"),
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
    {
      label: "CreateSession and ReleaseSession to their replies, the first 20 logins, ms",
      values: (at) => at.logins,
      digits: 1,
    },
    {
      label: "CreateSession and ReleaseSession a second, one login after the other",
      values: (at) => [at.loginsInTurn],
      digits: 0,
      rate: true,
    },
    {
      label: "CreateSession and ReleaseSession a second, 64 logins in flight",
      values: (at) => [at.loginsMany],
      digits: 0,
      rate: true,
    },
    {
      label: "... processor time of the server a login and its end, one after the other, µs",
      values: (at) => [at.loginsCost],
      digits: 0,
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

/**
 * How many times as good as the best of its peers a server is in a row: the median
 * of the rounds' own ratios, since what else runs changes from round to round.
 */
function ratio({ values, rate }: Row, own: Figures[], peers: Figures[][]): string {
  const middle = (figures: Figures) => spread(values(figures)).median;
  const ratios = own.flatMap((ours, round) => {
    const theirs = peers.flatMap((rounds) => rounds[round] ?? []).map(middle);
    if (theirs.length === 0) return [];
    return [rate ? middle(ours) / Math.max(...theirs) : Math.min(...theirs) / middle(ours)];
  });
  return spread(ratios).median.toFixed(2);
}

/** Servers side by side: the median of each figure, its least and most, and the first beside the best other. */
export function compare(measured: Map<string, Figures[]>, counts: Counts): string {
  const [own = [], ...peers] = [...measured.values()];
  const calls = own[0]?.calls ?? 0;
  const lines = rows(counts, calls).map((row) => [
    row.label,
    ...[own, ...peers].map((rounds) => format(rounds.flatMap(row.values), row.digits)),
    ratio(row, own, peers),
  ]);
  return table([["", ...measured.keys(), "times as good"], ...lines]);
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
export const insertFigures = (page: string, figures: string): string =>
  insertBetween(page, BEGIN, END, figures);
