/**
 * Command lines of other people's making, for the commands that stand in for systemd's and must take
 * every line that theirs take. The form is that of getopt_long(3), the messages are systemd 262's.
 */

/** One option of such a command. */
export interface GetoptOption {
  /** What the command knows it by. */
  key: string;
  /** `property` for --property. */
  long?: string;
  /** `p` for -p. */
  short?: string;
  /** Whether it takes a value; an optional one can only be written --name=VALUE. */
  value?: "required" | "optional";
  /** One that systemd's command does not have: a cut name means it only where it can mean no other. */
  extra?: boolean;
}

/** The command line is wrong. */
export class OptionError extends Error {
  override name = "OptionError";
}

/** What a command line holds, in the order in which it is to be obeyed; `at` is a word's index. */
export type GetoptItem =
  | { key: string; value: string | undefined }
  | { operand: string; at: number };

/** Where the operands are: anywhere, or first of all, so that all after the first is not ours. */
export type Operands = "anywhere" | "end-options";

/**
 * Walks through a command line. Items come one by one, so that `--help --wrong` helps.
 *
 * @param operands "end-options" is getopt's leading `+`
 * @throws {OptionError} while walking
 */
export function* getopt(
  options: readonly GetoptOption[],
  args: readonly string[],
  operands: Operands = "anywhere",
): Generator<GetoptItem> {
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? "";
    if (word === "--" || (operands === "end-options" && !/^-./.test(word))) {
      const first = word === "--" ? index + 1 : index;
      for (const [more, operand] of args.slice(first).entries())
        yield { operand, at: first + more };
      return;
    }
    if (word.startsWith("--")) {
      const at = word.indexOf("=");
      const written = at < 0 ? word.slice(2) : word.slice(2, at);
      const option = findLong(options, written);
      let value = at < 0 ? undefined : word.slice(at + 1);
      if (value !== undefined && !option.value) {
        throw new OptionError(`option '--${written}' doesn't allow an argument`);
      }
      if (value === undefined && option.value === "required") {
        value = args[++index];
        if (value === undefined) {
          throw new OptionError(`option '--${written}' requires an argument`);
        }
      }
      yield { key: option.key, value };
    } else if (/^-./.test(word)) {
      // Several short options may stand in one word; the first that takes a value ends it.
      for (let at = 1; at < word.length; at++) {
        const letter = word[at] ?? "";
        const option = options.find(({ short }) => short === letter);
        if (!option) throw new OptionError(`unrecognized option '-${letter}'`);
        if (option.value !== "required") {
          yield { key: option.key, value: undefined };
          continue;
        }
        const value = at + 1 < word.length ? word.slice(at + 1) : args[++index];
        if (value === undefined) throw new OptionError(`option '-${letter}' requires an argument`);
        yield { key: option.key, value };
        break;
      }
    } else {
      yield { operand: word, at: index };
    }
  }
}

/** The option of this name, which may be cut short as long as only one option can be meant. */
function findLong(options: readonly GetoptOption[], written: string): GetoptOption {
  const exact = options.find(({ long }) => long === written);
  if (exact) return exact;
  const begun = written === "" ? [] : options.filter(({ long }) => long?.startsWith(written));
  const theirs = begun.filter(({ extra }) => !extra);
  const possible = theirs.length > 0 ? theirs : begun;
  const [first, second] = possible;
  if (!first) throw new OptionError(`unrecognized option '--${written}'`);
  if (second) {
    const names = possible.map(({ long }) => `--${long}`).join(", ");
    throw new OptionError(`option '--${written}' is ambiguous; possibilities: ${names}`);
  }
  return first;
}
