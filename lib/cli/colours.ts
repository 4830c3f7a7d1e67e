/** Colours of what is written to a terminal, as systemd's commands choose them; see $SYSTEMD_COLORS in systemd(1). */
import { isatty } from "node:tty";
import { parseBoolean } from "./boolean.ts";

/** Whether a person reads along: what is piped away in part counts as piped away. */
export const onTerminal = isatty(1) && isatty(2);

/** Whether the terminal can do nothing but write one line below the other. */
export const isDumb = process.env.TERM === undefined || process.env.TERM === "dumb";

/** How many colours are used. */
type Mode = "off" | "16" | "256" | "24bit";

function modeOf(environment: NodeJS.ProcessEnv): Mode {
  const { SYSTEMD_COLORS: chosen = "", NO_COLOR, COLORTERM } = environment;
  if (chosen === "16" || chosen === "256" || chosen === "24bit") return chosen;
  const asked = parseBoolean(chosen);
  if (asked === false) return "off";
  if (asked === undefined && (NO_COLOR !== undefined || !onTerminal || isDumb)) return "off";
  const [, automatic] = /^auto-(16|256|24bit)$/.exec(chosen) ?? [];
  if (automatic) return automatic as Mode;
  return COLORTERM === "truecolor" || COLORTERM === "24bit" ? "24bit" : "256";
}

const mode = modeOf(process.env);

const PLAIN = "\x1b[0m";

export type Paint = (text: string) => string;

const paint = (start: string): Paint =>
  mode === "off" ? (text) => text : (text) => `${start}${text}${PLAIN}`;

/** A colour that not every terminal has, with what comes closest for the others before it. */
const rich = (closest: string, wanted: string) =>
  paint(mode === "16" ? closest : mode === "24bit" ? wanted : closest + wanted);

/** For what is there but not the point. */
export const grey = rich("\x1b[0;90m", "\x1b[0;38:5:245m");
/** A headline. */
export const bold = paint("\x1b[0;1;39m");
/** The label of a value. */
export const label = paint("\x1b[0;94m");
/** A table's header; Linux' console cannot underline. */
export const underlined: Paint = process.env.TERM === "linux" ? (text) => text : paint("\x1b[4m");
export const failure = paint("\x1b[0;1;31m");
export const warning = rich("\x1b[0;1;33m", "\x1b[0;1;38:5:185m");

/** Values in JSON. */
export const jsonText = paint("\x1b[0;32m");
export const jsonNumber = paint("\x1b[0;1;34m");
export const jsonWord = bold;

/** How grave a message is, and what it is painted with. */
const PAINTS = { error: failure, warning, info: (text: string) => text };

/** Writes a message to standard error, each of its lines by itself and no empty one. */
export function say(level: keyof typeof PAINTS, text: string): void {
  for (const line of text.split("\n")) {
    if (line !== "") process.stderr.write(`${PAINTS[level](line)}\n`);
  }
}
