/**
 * Writes the shells' completions of loginctl, systemd-inhibit and systemd-notify from the tables
 * that the commands themselves work by: `bun scripts/completions.ts`. A test sees to it that the
 * files in files/ are what this makes.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { GetoptOption } from "../lib/cli/index.ts";
import { INHIBIT_HELP, LOGINCTL_HELP } from "../lib/loginctl/help.ts";
import { INHIBIT_OPTIONS } from "../lib/loginctl/inhibit.ts";
import { JSON_MODES, OPTIONS, OUTPUT_MODES } from "../lib/loginctl/options.ts";
import { VERBS } from "../lib/loginctl/verbs.ts";
import { NOTIFY_HELP, NOTIFY_OPTIONS } from "../lib/notify/cli/systemd-notify.ts";

/** Where the values of an option, or the arguments of a verb, come from. */
type Values = { words: readonly string[] } | { shell: string } | { files: true } | { none: true };

const SESSIONS = "loginctl --no-legend list-sessions 2>/dev/null | awk '{ print $1 }'";
const USERS = "loginctl --no-legend list-users 2>/dev/null | awk '{ print $2 }'";
const SEATS = "loginctl --no-legend list-seats 2>/dev/null | awk '{ print $1 }'";
const PROPERTIES =
  "{ loginctl -a show-session self; loginctl -a show-seat seat0; loginctl -a show-user; } 2>/dev/null | cut -d= -f1";

/** What the arguments of each kind of verb are. */
const ARGUMENTS: Readonly<Record<string, Values>> = {
  session: { shell: SESSIONS },
  user: { shell: USERS },
  seat: { shell: SEATS },
  "seat and devices": { shell: SEATS },
};

const INHIBITED = [
  ...["shutdown", "sleep", "idle", "handle-power-key", "handle-suspend-key"],
  ...["handle-hibernate-key", "handle-reboot-key", "handle-lid-switch"],
];

/** What the values of each option are, by its key; those that are not here are free text. */
const VALUES: Readonly<Record<string, Values>> = {
  property: { shell: PROPERTIES },
  "value-of": { shell: PROPERTIES },
  "kill-whom": { words: ["leader", "all"] },
  signal: { shell: "loginctl --signal=help 2>/dev/null | tail -n +2" },
  output: { words: OUTPUT_MODES },
  json: { words: JSON_MODES },
  what: { words: INHIBITED },
  mode: { words: ["block", "block-weak", "delay"] },
  uid: { shell: "getent passwd | cut -d: -f1" },
  pid: { words: ["auto", "parent", "self"] },
};

interface Command {
  name: string;
  options: readonly GetoptOption[];
  help: string;
  /** Its verbs and what they take; without, it takes what `rest` says. */
  verbs: Readonly<Record<string, { takes: string }>>;
  rest: "command" | "nothing";
}

export const COMPLETED: readonly Command[] = [
  { name: "loginctl", options: OPTIONS, help: LOGINCTL_HELP, verbs: VERBS, rest: "nothing" },
  {
    ...{ name: "systemd-inhibit", options: INHIBIT_OPTIONS, help: INHIBIT_HELP, verbs: {} },
    rest: "command",
  },
  {
    ...{ name: "systemd-notify", options: NOTIFY_OPTIONS, help: NOTIFY_HELP, verbs: {} },
    rest: "nothing",
  },
];

/** What the help says of a verb or an option in its line; "" if its line says nothing. */
export function described(help: string, word: string): string {
  for (const line of help.split("\n")) {
    // Two spaces or more are between the word, with what it takes, and the text.
    const [, head = "", text = ""] = /^\s{2,}(-.*?|\S.*?)(?:\s{2,}(.*))?$/.exec(line) ?? [];
    const words = head.split(/[\s=[\]]+/);
    if (words.includes(word)) return text.replace(/[;:,]$/, "");
  }
  return "";
}

const spellings = ({ long, short }: GetoptOption) => [
  ...(short ? [`-${short}`] : []),
  ...(long ? [`--${long}`] : []),
];
const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const NOTE = "# Made by scripts/completions.ts from the command's own tables; change those.";

/** Completion for bash, by itself: nothing of the package bash-completion but its loader is used. */
export function forBash({ name, options, verbs, rest }: Command): string {
  const fun = `_${name.replaceAll("-", "_")}`;
  const from = (values: Values) => {
    if ("words" in values) return `-W ${quote(values.words.join(" "))}`;
    return "shell" in values ? `-W "$(${values.shell})"` : "-f";
  };
  const withValue = options.filter(({ value }) => value === "required");
  const cases = options
    .filter(({ value }) => value)
    .map((option) => {
      const values = VALUES[option.key];
      const action = values ? `mapfile -t COMPREPLY < <(compgen ${from(values)} -- "$cur")` : "";
      // An optional value has to be in the same word, so after the option alone comes another word.
      const only = option.value === "optional" ? `${quote(`--${option.long}=`)}` : undefined;
      const pattern = only ?? spellings(option).join("|");
      const lines = [`${pattern})`, ...(values ? [`\t${action}`] : []), "\treturn", "\t;;"];
      return lines.map((line) => `\t\t${line}`).join("\n");
    });
  const all = options.flatMap(spellings).join(" ");
  const verbCases = Object.entries(ARGUMENTS).flatMap(([kind, values]) => {
    const names = Object.keys(verbs).filter((verb) => verbs[verb]?.takes === kind);
    if (names.length === 0) return [];
    const files = kind === "seat and devices" ? " -f" : "";
    return [
      `\t\t${names.join("|")})\n\t\t\tmapfile -t COMPREPLY < <(compgen ${from(values)}${files} -- "$cur")\n\t\t\t;;`,
    ];
  });
  const verbPart =
    verbCases.length === 0
      ? `\tif [[ -z $verb ]]; then
		mapfile -t COMPREPLY < <(compgen -c -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
`
      : `\tcase $verb in
		'')
			mapfile -t COMPREPLY < <(compgen -W ${quote(Object.keys(verbs).join(" "))} -- "$cur")
			;;
${verbCases.join("\n")}
	esac
`;
  const operandPart = `	for ((i = 1; i < COMP_CWORD; i++)); do
		word=\${COMP_WORDS[i]}
		if [[ -n $skip ]]; then
			# The word after an equals sign is the value that was meant.
			[[ $word = '=' ]] || skip=''
			continue
		fi
		case $word in
			${withValue.flatMap(spellings).join("|")}) skip=yes ;;
			=) skip=yes ;;
			-*) ;;
			*)
				verb=$word
				break
				;;
		esac
	done
${verbPart}`;
  const operands = rest === "command" || verbCases.length > 0;
  return `# shellcheck shell=bash
${NOTE}
${fun}()
{
	local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}${operands ? " verb='' word skip='' i" : ""}
	COMPREPLY=()
	# Readline takes --option=value apart at the equals sign.
	if [[ $cur = '=' ]]; then
		cur='' prev=$prev=
	elif [[ $prev = '=' ]]; then
		prev=\${COMP_WORDS[COMP_CWORD - 2]}=
	fi
	case $prev in
		${options
      .filter(({ value, long }) => value === "required" && long)
      .map(({ long }) => `--${long}=`)
      .join("|")})
			prev=\${prev%=}
			;;
	esac
	case $prev in
${cases.join("\n")}
	esac
	if [[ $cur = -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W ${quote(all)} -- "$cur")
		return
	fi
${operands ? operandPart : ""}}
complete -F ${fun} ${name}
`;
}

/** Completion for zsh. */
export function forZsh({ name, options, help, verbs, rest }: Command): string {
  const text = (word: string) => described(help, word).replaceAll(/[[\]:]/g, "\\$&");
  const action = (values: Values | undefined) => {
    if (!values) return " ";
    if ("words" in values) return `(${values.words.join(" ")})`;
    return "shell" in values ? `{compadd -- \${(f)"$(${values.shell})"}}` : "_files";
  };
  const specs = options.flatMap((option) =>
    spellings(option).map((spelling) => {
      const long = spelling.startsWith("--");
      const other = spellings(option).length > 1 ? `(${spellings(option).join(" ")})` : "";
      const exclude = ["property", "value-of", "fd"].includes(option.key) ? "*" : other;
      const joined = option.value ? (long ? (option.value === "optional" ? "=-" : "=") : "+") : "";
      const values = option.value
        ? `:${option.value === "optional" ? ":" : ""}${option.key}:${action(VALUES[option.key])}`
        : "";
      const words = text(option.long ? `--${option.long}` : spelling);
      return `${exclude}${spelling}${joined}[${words}]${values}`;
    }),
  );
  const operands =
    Object.keys(verbs).length > 0
      ? ["1:verb:_loginctl_verbs", "*::argument:_loginctl_arguments"]
      : rest === "command"
        ? ["(-)1:command:_command_names -e", "*::argument:_normal"]
        : [];
  const lines = [...specs, ...operands].map((spec) => `\t${quote(spec)}`).join(" \\\n");
  const functions =
    Object.keys(verbs).length === 0
      ? ""
      : `_loginctl_verbs()
{
	local -a verbs=(
${Object.keys(verbs)
  .map((verb) => `\t\t${quote(`${verb}:${text(verb)}`)}`)
  .join("\n")}
	)
	_describe verb verbs
}

_loginctl_arguments()
{
	case $words[1] in
${Object.entries(ARGUMENTS)
  .map(([kind, values]) => {
    const names = Object.keys(verbs).filter((verb) => verbs[verb]?.takes === kind);
    const files = kind === "seat and devices" ? "\n\t\t\t(( CURRENT > 2 )) && _files -W /sys" : "";
    const list = "shell" in values ? values.shell : "";
    return `\t\t${names.join("|")})\n\t\t\tcompadd -- \${(f)"$(${list})"}${files}\n\t\t\t;;`;
  })
  .join("\n")}
	esac
}

`;
  return `#compdef ${name}
${NOTE}
${functions}_arguments ${rest === "command" ? "" : "-s "}\\
${lines}
`;
}

/** Completion for fish. */
export function forFish({ name, options, help, verbs, rest }: Command): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const about = (word: string) => {
    const text = described(help, word);
    return text === "" ? "" : ` -d ${quoted(text)}`;
  };
  const from = (values: Values | undefined) => {
    if (!values) return "";
    if ("words" in values) return ` -a ${quoted(values.words.join(" "))}`;
    if (!("shell" in values)) return " -F";
    // Its groups are not those of sh.
    return ` -a ${quoted(`(${values.shell.replace(/^\{ (.*); \}/, "begin; $1; end")})`)}`;
  };
  const names = Object.keys(verbs);
  const starts = `complete -c ${name}`;
  const lines = [
    NOTE,
    rest === "command" ? `${starts} -f -a '(__fish_complete_subcommand)'` : `${starts} -f`,
  ];
  for (const option of options) {
    const written = [
      ...(option.short ? [`-s ${option.short}`] : []),
      ...(option.long ? [`-l ${option.long}`] : []),
    ].join(" ");
    const wanted = option.value === "required" ? " -x" : "";
    const word = option.long ? `--${option.long}` : `-${option.short}`;
    lines.push(`${starts} ${written}${wanted}${from(VALUES[option.key])}${about(word)}`);
  }
  if (names.length > 0) lines.push(`set -l verbs ${names.join(" ")}`);
  for (const verb of names) {
    lines.push(`${starts} -n "not __fish_seen_subcommand_from $verbs" -a ${verb}${about(verb)}`);
  }
  for (const [kind, values] of Object.entries(ARGUMENTS)) {
    const those = names.filter((verb) => verbs[verb]?.takes === kind);
    if (those.length === 0) continue;
    const files = kind === "seat and devices" ? " -F" : "";
    const some = `"__fish_seen_subcommand_from ${those.join(" ")}"`;
    lines.push(`${starts} -n ${some}${files}${from(values)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Every file, by its path below files/. */
export function completionFiles(): Map<string, string> {
  return new Map(
    COMPLETED.flatMap((command): [string, string][] => [
      [`usr/share/bash-completion/completions/${command.name}`, forBash(command)],
      [`usr/share/zsh/site-functions/_${command.name}`, forZsh(command)],
      [`usr/share/fish/vendor_completions.d/${command.name}.fish`, forFish(command)],
    ]),
  );
}

if (import.meta.main) {
  const files = resolve(import.meta.dir, "../files");
  for (const [path, text] of completionFiles()) {
    mkdirSync(dirname(join(files, path)), { recursive: true });
    writeFileSync(join(files, path), text);
  }
}
