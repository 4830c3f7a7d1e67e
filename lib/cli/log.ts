/**
 * A daemon's log: a line each to standard error, which supervise-daemon passes
 * on, with the priority in front as sd-daemon(3) has it where somebody asks.
 */

export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warning(message: string): void;
  error(message: string): void;
}

export type Level = "debug" | "info" | "warning" | "error";

/**
 * A logger that writes `NAME: message` lines.
 *
 * @param name the program's name
 * @param verbose whether debug lines are written too
 * @param elsewhere takes the line instead of standard error, unless it returns false
 */
export function createLogger(
  name: string,
  verbose = false,
  elsewhere: (level: Level, message: string) => boolean = () => false,
): Logger {
  // Bun opens it at the first use, when there may be no descriptor left.
  const { stderr } = process;
  const at = (level: Level) => (message: string) => {
    if (level === "debug" && !verbose) return;
    const text = visible(message);
    if (elsewhere(level, text)) return;
    const mark = level === "warning" || level === "error" ? `${level}: ` : "";
    stderr.write(`${name}: ${mark}${text}\n`);
  };
  return { debug: at("debug"), info: at("info"), warning: at("warning"), error: at("error") };
}

/**
 * The text with every control character (a newline and a terminal's escape
 * among them) and every bidirectional override written as \\xNN or \\u{NNNN}, so
 * that what a stranger sent can neither forge a line nor drive a terminal.
 */
export function visible(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}
