/** What a command prints: gathered, and handed to a pager where a person reads it. */

import { readFileSync } from "node:fs";
import { colours, parseBoolean, say } from "../cli/index.ts";
import { isUtf8 } from "./environment.ts";
import { CommandError } from "./errors.ts";
import { terminalWidth } from "./width.ts";

/** Does our user differ from the one who logged in here (sudo, su)? Then a pager is a way to root. */
function isElevated(): boolean {
  const owner = /\/user-(\d+)\.slice/.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
  return Number(owner ?? -1) !== process.geteuid?.();
}

export class Output {
  readonly #parts: string[] = [];
  /** Whether what is written goes through a pager, which scrolls and needs no shortening. */
  readonly #paged: boolean;

  /** @param pager false for --no-pager */
  constructor(pager: boolean) {
    this.#paged = pager && colours.onTerminal && !colours.isDumb && pagers().length > 0;
  }

  /** How wide a line may be, in characters; undefined where it may have any width. */
  get width(): number | undefined {
    return process.stdout.isTTY && !this.#paged ? this.columns : undefined;
  }

  /** How wide a text is that is wrapped, in characters, wherever it goes. */
  get columns(): number {
    return terminalWidth();
  }

  line(text = ""): void {
    this.#parts.push(`${text}\n`);
  }

  write(text: string): void {
    this.#parts.push(text);
  }

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
        say("warning", "Unable to parse $SYSTEMD_PAGERSECURE, assuming true: Invalid argument");
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
