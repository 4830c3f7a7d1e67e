/** What a command prints: gathered, and handed to a pager where a person reads it. */
import { readFileSync } from "node:fs";
import { isUtf8, parseBoolean } from "./environment.ts";
import { CommandError } from "./errors.ts";

const BRIGHT_BLACK = "\x1b[0;90m";
/** A lighter grey, for terminals that have 256 colours. */
const GREY = "\x1b[0;38:5:245m";
const BLUE = "\x1b[0;94m";
const BOLD = "\x1b[0;1;39m";
const UNDERLINED = "\x1b[4m";
const PLAIN = "\x1b[0m";

/** Does our user differ from the one who logged in here (sudo, su)? Then a pager is a way to root. */
function isElevated(): boolean {
  const owner = /\/user-(\d+)\.slice/.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
  return Number(owner ?? -1) !== process.geteuid?.();
}

export class Output {
  readonly #parts: string[] = [];
  readonly #terminal = process.stdout.isTTY === true;
  /** Whether what is written goes through a pager, which scrolls and needs no shortening. */
  readonly #paged: boolean;
  readonly #coloured: boolean;
  /** Both where nobody says how many colours there are. */
  readonly #grey: string;

  /** @param pager false for --no-pager */
  constructor(pager: boolean) {
    const { TERM, NO_COLOR, SYSTEMD_COLORS } = process.env;
    const dumb = TERM === undefined || TERM === "dumb";
    this.#paged = pager && this.#terminal && !dumb && pagers().length > 0;
    const chosen =
      SYSTEMD_COLORS === undefined || SYSTEMD_COLORS === "" ? undefined : SYSTEMD_COLORS;
    this.#grey = /16$/.test(chosen ?? "")
      ? BRIGHT_BLACK
      : /24bit$/.test(chosen ?? "")
        ? GREY
        : BRIGHT_BLACK + GREY;
    this.#coloured =
      chosen === undefined
        ? this.#terminal && !dumb && !NO_COLOR
        : (parseBoolean(chosen) ??
          (/^(16|256|24bit)$/.test(chosen) ||
            (this.#terminal && /^auto-(16|256|24bit)$/.test(chosen))));
  }

  /** How wide a line may be, in characters; undefined where it may have any width. */
  get width(): number | undefined {
    return this.#terminal && !this.#paged ? this.columns : undefined;
  }

  /** How wide a text is that is wrapped, in characters, wherever it goes. */
  get columns(): number {
    const chosen = Number(process.env.COLUMNS);
    return chosen > 0 ? chosen : process.stdout.columns || 80;
  }

  line(text = ""): void {
    this.#parts.push(`${text}\n`);
  }

  write(text: string): void {
    this.#parts.push(text);
  }

  /** The text in grey, for what is there but not the point. */
  grey = (text: string) => (this.#coloured ? `${this.#grey}${text}${PLAIN}` : text);
  /** The text as a headline. */
  bold = (text: string) => (this.#coloured ? `${BOLD}${text}${PLAIN}` : text);
  /** The text as the label of a value. */
  label = (text: string) => (this.#coloured ? `${BLUE}${text}${PLAIN}` : text);
  underlined = (text: string) => (this.#coloured ? `${UNDERLINED}${text}${PLAIN}` : text);

  /**
   * Writes out what was gathered, and waits until the pager, if any, is left.
   * A reader that went away (`| head`) is no error.
   */
  async flush(): Promise<void> {
    const text = this.#parts.splice(0).join("");
    if (text === "") return;
    if (this.#paged) {
      const { SYSTEMD_PAGERSECURE: secure } = process.env;
      if (secure !== undefined && parseBoolean(secure) === undefined) {
        process.stderr.write(
          "Unable to parse $SYSTEMD_PAGERSECURE, assuming true: Invalid argument\n",
        );
      }
      for (const command of pagers()) if (await page(command, text)) return;
    }
    await new Promise<void>((resolve, reject) => {
      process.stdout.once("error", reject);
      process.stdout.write(text, () => resolve());
    }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw new CommandError(`Failed to write: ${error.message}`);
    });
  }
}

/**
 * Whether only a pager may be used that can be told to run nothing, which less can: with rights that
 * the person at the terminal does not have, unless $SYSTEMD_PAGERSECURE says otherwise.
 */
function isSecure(): boolean {
  const { SYSTEMD_PAGERSECURE: chosen } = process.env;
  return chosen === undefined ? isElevated() : (parseBoolean(chosen) ?? true);
}

/**
 * The pagers to try, by $SYSTEMD_PAGER and $PAGER. A person who names one has to say as well, by
 * $SYSTEMD_PAGERSECURE, whether it is to be a safe one; otherwise only that none is wanted counts.
 */
function pagers(): string[][] {
  const { SYSTEMD_PAGER, PAGER, SYSTEMD_PAGERSECURE } = process.env;
  const words = (SYSTEMD_PAGER ?? PAGER)?.split(/\s+/).filter((word) => word !== "");
  if (words && (words.length === 0 || (words.length === 1 && words[0] === "cat"))) return [];
  const isNamed = words && parseBoolean(SYSTEMD_PAGERSECURE) !== undefined;
  const others = isSecure() ? [["less"]] : [["pager"], ["less"], ["more"]];
  return isNamed ? [words, ...others] : others;
}

/** Shows the text by a pager; false if there is no such program. */
async function page(command: string[], text: string): Promise<boolean> {
  const program = Bun.which(command[0] ?? "");
  if (!program) return false;
  const { SYSTEMD_LESS, SYSTEMD_LESSCHARSET = isUtf8 ? "utf-8" : undefined } = process.env;
  const child = Bun.spawn([program, ...command.slice(1)], {
    env: {
      ...process.env,
      LESS: SYSTEMD_LESS ?? "FRSXMK",
      ...(SYSTEMD_LESSCHARSET === undefined ? {} : { LESSCHARSET: SYSTEMD_LESSCHARSET }),
      ...(isSecure() ? { LESSSECURE: "1" } : {}),
    },
    stdin: "pipe",
    stdout: "inherit",
    stderr: "inherit",
  });
  // Ctrl-C is for the pager, which may only stop a search by it.
  const ignore = () => {};
  process.on("SIGINT", ignore);
  try {
    child.stdin.write(text);
    await child.stdin.end();
  } catch (error) {
    // It was left before it had read everything.
    if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
  } finally {
    await child.exited;
    process.off("SIGINT", ignore);
  }
  return true;
}
