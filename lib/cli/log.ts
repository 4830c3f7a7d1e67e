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

const NAMES = ["debug", "info", "warning", "error"] as const;

/**
 * A logger that writes `NAME: message` lines.
 *
 * @param name the program's name
 * @param verbose whether debug lines are written too
 */
export function createLogger(name: string, verbose = false): Logger {
  const at = (level: (typeof NAMES)[number]) => (message: string) => {
    if (level === "debug" && !verbose) return;
    const mark = level === "warning" || level === "error" ? `${level}: ` : "";
    process.stderr.write(`${name}: ${mark}${visible(message)}\n`);
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
