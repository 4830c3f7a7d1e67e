/** The keys of one of systemd's configuration files: what each may be, what it is unset, and what the files say. */
import type { Logger } from "../../cli/index.ts";
import { configFiles, loadConfig } from "./conf-file.ts";
import { readBoolean, readNumber, readTime, readWords } from "./values.ts";

/** Where configuration is looked for, the strongest first. */
export const CONFIG_FOLDERS = ["/etc/lainos", "/run/lainos", "/usr/lib/lainos"];

export interface Setting<Value> {
  /** Reads a value; `before` is what the files said so far, for lists, which add up. */
  read: (text: string, before: Value | undefined) => Value | undefined;
  initial: Value;
  /** What a value looks like, for the log. */
  form: string;
  /** What an empty value means, if not the initial one. */
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

export const boolean = <Initial extends boolean | undefined>(initial: Initial, never?: string) =>
  setting<boolean | Initial>(readBoolean, "yes or no", initial, { never });

/** In microseconds. */
export const time = (initial: bigint, never?: string) =>
  setting(readTime, "a time span such as 30s", initial, { never });

export const number = (initial: bigint, most?: bigint, never?: string) =>
  setting((text) => readNumber(text, most), "a number", initial, { never });

/** Words that add up from line to line; the first takes the place of the initial ones. */
export const list = <Word extends string>(
  initial: Word[],
  form: string,
  isWord: (word: string) => word is Word,
  more: Partial<Pick<Setting<Word[]>, "empty">> = {},
) =>
  setting<Word[]>(
    (text, before) => {
      const words = readWords(text);
      return words?.every(isWord) ? [...(before ?? []), ...words] : undefined;
    },
    form,
    initial,
    more,
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
      if (found !== section) {
        onBad(where, `${key}= is in [${found}], and only [${section}] is known`);
        continue;
      }
      if (!Object.hasOwn(settings, key)) {
        onBad(where, `there is no key ${key}=`);
        continue;
      }
      const known = settings[key as keyof Known] as Setting<unknown>;
      if (value === "") {
        if ("empty" in known) said.set(key, known.empty);
        else said.delete(key);
        continue;
      }
      const read = known.read(value, said.get(key));
      if (read === undefined) onBad(where, `${key}= is '${value}', but must be ${known.form}`);
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
