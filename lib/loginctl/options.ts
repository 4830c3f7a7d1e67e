/** loginctl's options; see loginctl(1). */
import { colours, type GetoptOption, getopt, parseInteger } from "../cli/index.ts";
import { CommandError } from "./errors.ts";
import {
  newPowerOptions,
  POWER_OPTIONS,
  type PowerOptions,
  setPowerOption,
} from "./power-options.ts";
import { parseSignal, SIGNALS } from "./signals.ts";
import { cell, type JsonMode, tableLines } from "./table.ts";
import { terminalWidth } from "./width.ts";

/**
 * The order is that of systemd's --help: it decides in which order a cut name that fits several of
 * them is answered. Completion for the shells comes from this table too: scripts/completions.ts.
 */
export const OPTIONS: readonly GetoptOption[] = [
  { key: "help", long: "help", short: "h" },
  { key: "version", long: "version" },
  { key: "host", long: "host", short: "H", value: "required" },
  { key: "machine", long: "machine", short: "M", value: "required" },
  { key: "property", long: "property", short: "p", value: "required" },
  { key: "value-of", short: "P", value: "required" },
  { key: "all", long: "all", short: "a" },
  { key: "value", long: "value" },
  { key: "full", long: "full", short: "l" },
  { key: "kill-whom", long: "kill-whom", value: "required" },
  { key: "signal", long: "signal", short: "s", value: "required" },
  { key: "lines", long: "lines", short: "n", value: "required" },
  { key: "json", long: "json", value: "required" },
  { key: "json-here", short: "j" },
  { key: "output", long: "output", short: "o", value: "required" },
  { key: "no-pager", long: "no-pager" },
  { key: "no-legend", long: "no-legend" },
  { key: "no-ask-password", long: "no-ask-password" },
  ...POWER_OPTIONS,
];

/** The journal's output modes, in the order in which systemd names them. */
export const OUTPUT_MODES = [
  ...["short", "short-full", "short-iso", "short-iso-precise", "short-precise"],
  ...["short-monotonic", "short-delta", "short-unix", "verbose", "export"],
  ...["json", "json-pretty", "json-sse", "json-seq", "cat", "with-unit"],
];

export const JSON_MODES = ["pretty", "short", "off"];

export interface Options {
  properties: string[] | undefined;
  all: boolean;
  valueOnly: boolean;
  full: boolean;
  pager: boolean;
  legend: boolean;
  whom: string;
  signal: number;
  askPassword: boolean;
  /** By --json and -j. */
  json: JsonMode | undefined;
  power: PowerOptions;
}

/** What the command line asks for: a verb with its arguments, or a text to print and no more. */
export type Request = { kind: "print"; what: "help" | "version" | readonly string[] } | VerbRequest;

export interface VerbRequest {
  kind: "verb";
  /** undefined where there is none. */
  verb: string | undefined;
  args: string[];
  options: Options;
}

/**
 * Reads the command line, in the order in which it is written.
 *
 * @throws {OptionError} if an option is none of ours
 * @throws {CommandError} if a value is wrong
 */
export function parseOptions(args: readonly string[]): Request {
  const words: string[] = [];
  const options: Options = {
    properties: undefined,
    all: false,
    valueOnly: false,
    full: false,
    pager: true,
    legend: true,
    whom: "all",
    signal: 15,
    askPassword: true,
    json: undefined,
    power: newPowerOptions(),
  };
  for (const item of getopt(OPTIONS, args)) {
    if ("operand" in item) {
      words.push(item.operand);
      continue;
    }
    const { key, value = "" } = item;
    if (key === "help" || key === "version") return { kind: "print", what: key };
    const list = value === "help" || value === "list" ? listOf(key, value) : undefined;
    if (list) return { kind: "print", what: list };
    if (setSwitch(options, key) || setPowerOption(options.power, key, value)) continue;
    setValue(options, key, value);
  }
  const [verb, ...rest] = words;
  if (verb === "help") return { kind: "print", what: "help" };
  return { kind: "verb", verb, args: rest, options };
}

/** What an option lists instead of taking a value; undefined if it lists nothing. */
function listOf(key: string, value: string): readonly string[] | undefined {
  if (key === "signal") {
    return value === "help" ? ["0", ...SIGNALS.values()] : signalTable();
  }
  if (value === "list") return undefined;
  return key === "output" ? OUTPUT_MODES : key === "json" ? JSON_MODES : undefined;
}

/** Takes note of an option without a value. @returns false if it is none of them */
function setSwitch(options: Options, key: string): boolean {
  switch (key) {
    case "all":
      options.all = true;
      return true;
    case "value":
      options.valueOnly = true;
      return true;
    case "full":
      options.full = true;
      return true;
    case "no-pager":
      options.pager = false;
      return true;
    case "no-legend":
      options.legend = false;
      return true;
    case "no-ask-password":
      options.askPassword = false;
      return true;
    case "json-here":
      options.json = { pretty: colours.onTerminal, coloured: true };
      options.legend = false;
      return true;
    default:
      return false;
  }
}

/** Takes note of an option with a value. @throws {CommandError} if that is wrong */
function setValue(options: Options, key: string, value: string): void {
  switch (key) {
    case "property":
    case "value-of":
      options.properties = [...(options.properties ?? []), value];
      // Who asks for one by name sees it even if it is empty.
      options.all = true;
      if (key === "value-of") options.valueOnly = true;
      break;
    case "kill-whom":
      options.whom = value;
      break;
    case "signal": {
      const signal = parseSignal(value);
      if (signal === undefined) {
        throw new CommandError(`Failed to parse signal string "${value}".`);
      }
      options.signal = signal;
      break;
    }
    case "lines":
      // There is no journal, so the number has no effect, but a wrong one is still an error.
      if (!isUnsigned(value)) throw new CommandError(`Failed to parse lines '${value}'`);
      break;
    case "output":
      if (!OUTPUT_MODES.includes(value)) throw new CommandError(`Unknown output '${value}'.`);
      break;
    case "json":
      options.json = parseJsonMode(value);
      if (options.json) options.legend = false;
      break;
    case "host":
      throw new CommandError(
        `--host=${value}: other hosts are not asked from here: run ssh ${value} loginctl`,
      );
    case "machine":
      // The name that systemd has for the machine itself.
      if (value === ".host") break;
      throw new CommandError(
        `--machine=${value}: there is no machine manager, so no container can be asked: run loginctl inside of it`,
      );
  }
}

/**
 * Reads what --json= says.
 *
 * @returns undefined for off
 * @throws {CommandError}
 */
export function parseJsonMode(text: string): JsonMode | undefined {
  if (!JSON_MODES.includes(text)) {
    throw new CommandError(`Unknown argument to --json= switch: ${text}`);
  }
  const pretty = text === "pretty";
  return text === "off" ? undefined : { pretty, coloured: pretty };
}

/** Whether it is a number of 32 bits. */
function isUnsigned(text: string): boolean {
  const number = parseInteger(text) ?? -1;
  return number >= 0 && number <= 0xffffffff;
}

const signalTable = () => {
  const rows = [...SIGNALS].map(([number, name]) => [cell(number), cell(`SIG${name}`)]);
  const room = process.stdout.isTTY ? terminalWidth() : undefined;
  return tableLines({ columns: ["signal", "name"], numeric: 0, rows }, true, room);
};
