/** The keys of one of systemd's configuration files: what each may be, what it is unset, and what the files say. */
import { type Logger, parseBoolean, parseTimeSpan } from "../../cli/index.ts";
import { configFiles, loadConfig } from "./conf-file.ts";
import { readNumber, readWords } from "./values.ts";

/** Where configuration is looked for, the strongest first. */
export const CONFIG_FOLDERS = ["/etc/lainos", "/run/lainos", "/usr/lib/lainos"];

export interface Setting<Value> {
  /**
   * Reads a value.
   *
   * @param before what the files said so far, for lists, which add up
   * @param ignored told each word that is wrong, where the others count all the same
   */
  read: (
    text: string,
    before: Value | undefined,
    ignored: (word: string) => void,
  ) => Value | undefined;
  initial: Value;
  /** What a value looks like, for the log. */
  form: string;
  /**
   * What an empty value means; the initial one unsets the key. Without it an empty value is wrong, and
   * what was said before it stays.
   */
  empty?: Value;
  /** Why nothing can do as it says, for the log. */
  never?: string | undefined;
}

export function setting<Value>(
  read: Setting<Value>["read"],
  form: string,
  initial: Value,
  more: Partial<Pick<Setting<Value>, "empty" | "never">> = {},
): Setting<Value> {
  return { read, form, initial, ...more };
}

export const boolean = <Initial extends boolean | undefined>(
  initial: Initial,
  more: Partial<Pick<Setting<boolean | Initial>, "empty" | "never">> = {},
) => setting<boolean | Initial>(parseBoolean, "yes or no", initial, more);

/** In microseconds. */
export const time = (initial: bigint, never?: string) =>
  setting(parseTimeSpan, "a time span such as 30s", initial, { never });

export const number = (initial: bigint, most?: bigint, never?: string) =>
  setting((text) => readNumber(text, most), "a number", initial, { never });

const WORDS = "words between spaces";

/** Words that add up from line to line; the first takes the place of the initial ones. */
export const addedWords = <Initial extends string[] | undefined>(
  initial: Initial,
  empty: string[] | Initial,
) =>
  setting<string[] | Initial>(
    (text, before) => {
      const words = readWords(text);
      return words && [...(before ?? []), ...words];
    },
    WORDS,
    initial,
    { empty },
  );

/** Words, of which those of the last line count. */
export const lastWords = (initial: string[]) =>
  setting<string[]>(readWords, WORDS, initial, { empty: [] });

/** Some of a few known words. Others are ignored, and where none is left it is the initial ones. */
export const knownWords = <Word extends string>(
  initial: Word[],
  form: string,
  isKnown: (word: string) => word is Word,
) =>
  setting<Word[]>(
    (text, _before, ignored) => {
      const words = readWords(text);
      for (const word of words ?? []) if (!isKnown(word)) ignored(word);
      const known = words?.filter(isKnown);
      return known?.length === 0 ? initial : known;
    },
    form,
    initial,
    { empty: initial },
  );

/** What the files say, by key. */
export type Values<Known> = {
  readonly [Key in keyof Known]: Known[Key] extends Setting<infer Value> ? Value : never;
};

/** A file, its one section and the keys in it. */
export interface ConfigKind<Known> {
  name: string;
  section: string;
  settings: Known;
}

/**
 * Reads a configuration. What is unknown, wrong or obeyed by nothing is named by
 * file and line in the log; the rest counts.
 *
 * @param folders where to look, the strongest first
 */
export function readSettings<Known extends object>(
  log: Logger,
  { name, section, settings }: ConfigKind<Known>,
  folders: string[],
): Values<Known> {
  const onBad = (where: string, what: string) =>
    log.warning(`${where}: ${brief(what)}; it is ignored`);
  const said = new Map<string, unknown>();
  for (const path of configFiles(folders, name, onBad)) {
    for (const { section: found, key, value, where } of loadConfig(path, onBad)) {
      // Other programs' own, by systemd.syntax(7).
      if (found.startsWith("X-") || key.startsWith("X-")) continue;
      if (found !== section) {
        onBad(where, `${key}= is in [${found}], and only [${section}] is known`);
        continue;
      }
      if (!Object.hasOwn(settings, key)) {
        onBad(where, `there is no key ${key}=`);
        continue;
      }
      const known = settings[key as keyof Known] as Setting<unknown>;
      if (value === "" && "empty" in known) {
        if (known.empty === known.initial) said.delete(key);
        else said.set(key, known.empty);
        continue;
      }
      const wrong = (text: string) =>
        onBad(where, `${key}= is '${text}', but must be ${known.form}`);
      const read = known.read(value, said.get(key), wrong);
      if (read === undefined) wrong(value);
      else {
        said.set(key, read);
        if (known.never) log.warning(`${where}: ${key}= is obeyed by nothing: ${known.never}`);
      }
    }
  }
  const entries = Object.entries(settings).map(([key, { initial }]) => [
    key,
    said.has(key) ? said.get(key) : initial,
  ]);
  return Object.fromEntries(entries) as Values<Known>;
}

/** A text as it is in the log: not all of a file that is damaged. */
const brief = (text: string) => (text.length <= 300 ? text : `${text.slice(0, 300)}…`);
