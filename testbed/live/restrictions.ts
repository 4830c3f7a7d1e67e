/**
 * What each of our daemons may still do, read from /proc of a booted system: `bun run live
 * restrictions`. With --write the table is put into docs/sandbox.md.
 */
import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { HostError } from "../../scripts/host.ts";
import type { Live } from "./index.ts";

const PAGE = resolve(import.meta.dir, "../../docs/sandbox.md");
const BEGIN = "<!-- restrictions: made by `bun run live restrictions --write` -->";
const END = "<!-- restrictions: end -->";

const SANDBOX = "/usr/libexec/lainos/sandbox";
const EXECUTABLES = "/usr/libexec/lainos";

/** The daemons, and what has those that run only for a moment wait: output that nobody reads. */
const DAEMONS: Readonly<Record<string, string | undefined>> = {
  "dbus-bridge": undefined,
  notifyd: undefined,
  "ghost-units": "--check --root /run/systemd/look",
  "net-init": "--check",
};

/** By their bits; see capabilities(7). */
const CAPABILITIES = [
  ...["chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid"],
  ...["setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw"],
  ...["ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace"],
  ...["sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time"],
  ...["sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"],
  ...["mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read"],
  ...["perfmon", "bpf", "checkpoint_restore"],
];

/** What is read of one process. */
export interface Restrictions {
  readonly daemon: string;
  readonly rows: Readonly<Record<string, string>>;
}

/**
 * Prints the process's files under headings. $1: its pid. The restrictions of a process are not there
 * before its daemon has set its filter, the last of them.
 */
const SHOW = `pid=$1
left=100
until grep -qsx 'Seccomp:	2' "/proc/$pid/status" || [ "$left" = 0 ]; do left=$((left - 1)); sleep 0.1; done
for file in status limits mountinfo; do echo "== $file"; cat "/proc/$pid/$file"; done
echo "== environ"; tr '\\0' '\\n' <"/proc/$pid/environ"
echo "== label"; cat "/proc/$pid/attr/current" 2>/dev/null || echo none
echo "== namespaces"
for kind in cgroup ipc mnt net pid user uts; do
  [ "$(readlink "/proc/$pid/ns/$kind")" = "$(readlink "/proc/1/ns/$kind")" ] || echo "$kind"
done
echo "== user"; stat -c %U "/proc/$pid"`;

/** Has a daemon that would end at once wait for a pipe that is full, and looks at it. */
const HOLD = `daemon=$1; shift
mkdir -p /run/systemd/look/run; folder=$(mktemp -d); mkfifo "$folder/full"; exec 3<>"$folder/full"
dd if=/dev/zero of="$folder/full" bs=65536 count=1 2>/dev/null
env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8 ${SANDBOX} "$daemon" "${EXECUTABLES}/lainos-$daemon" "$@" >&3 2>/dev/null 3>&- &
name=$(printf 'lainos-%s' "$daemon" | cut -c1-15)
left=100
until pid=$(pgrep -nx "$name") || [ "$left" = 0 ]; do left=$((left - 1)); sleep 0.1; done
( set -- "$pid"; ${SHOW} )
kill -KILL "$pid"; rm -r "$folder" /run/systemd/look`;

/** Reads them of all daemons of a booted system. @throws HostError where one does not run. */
export async function readRestrictions(live: Live): Promise<Restrictions[]> {
  const found: Restrictions[] = [];
  for (const [daemon, words] of Object.entries(DAEMONS)) {
    const script =
      words === undefined
        ? ["sh", "-c", `set -- "$(pgrep -ox "$1")"; ${SHOW}`, "sh", `lainos-${daemon}`.slice(0, 15)]
        : ["sh", "-c", HOLD, "sh", daemon, ...words.split(" ")];
    const done = await live.exec(script);
    const parts = sections(done.stdout);
    if (!parts.has("user")) throw new HostError(`${daemon}: ${done.stderr.trim()}`);
    found.push({ daemon, rows: rowsOf(parts) });
  }
  return found;
}

function sections(text: string): Map<string, string> {
  const parts = text.split(/^== (\w+)\n/m).slice(1);
  return new Map(
    parts.flatMap((name, index) => (index % 2 === 0 ? [[name, parts[index + 1] ?? ""]] : [])),
  );
}

function rowsOf(parts: ReadonlyMap<string, string>): Record<string, string> {
  const part = (name: string) => parts.get(name) ?? "";
  const status = (name: string) =>
    new RegExp(`^${name}:\\s*(.*)$`, "m").exec(part("status"))?.[1] ?? "";
  const limit = (name: string) =>
    new RegExp(`^${name} +(\\S+)`, "m").exec(part("limits"))?.[1] ?? "";
  const landlock = /^LAINOS_LANDLOCK=(.*)$/m.exec(part("environ"))?.[1];
  const mounts = part("mountinfo").trim().split("\n").map(mountOf);
  const writable = mounts.filter(({ isWritable, isDevice }) => isWritable && !isDevice);
  const nodes = mounts.filter(({ isWritable, isDevice }) => isWritable && isDevice);
  return {
    User: part("user").trim(),
    "Capabilities (bounding set)": capabilities(status("CapBnd")),
    "Capabilities (inheritable, ambient)": `${capabilities(status("CapInh"))}, ${capabilities(status("CapAmb"))}`,
    "No new privileges": status("NoNewPrivs") === "1" ? "yes" : "no",
    "Filter of system calls": status("Seccomp") === "2" ? "yes" : "no",
    Landlock: landlock === undefined || landlock === "no" ? "no" : `version ${landlock}`,
    AppArmor: part("label").trim().replace("none", "not in this kernel"),
    "Namespaces of its own": part("namespaces").trim().split("\n").join(", ") || "none",
    "Mounts it sees": String(mounts.length),
    "Can be written": paths(writable.map(({ point }) => point)),
    "Devices that can be opened": paths(nodes.map(({ point }) => point)),
    "Open files, processes": `${limit("Max open files")}, ${limit("Max processes")}`,
    "Core dumps": limit("Max core file size"),
  };
}

interface Mount {
  readonly point: string;
  readonly isWritable: boolean;
  /** Whether it is a node, or has nodes, that can be opened. */
  readonly isDevice: boolean;
}

/** Of a line of mountinfo: options of the mount before the dash, of the file system at the end. */
function mountOf(line: string): Mount {
  const [before = "", after = ""] = line.split(" - ");
  const [, , , , point = "", options = ""] = before.split(" ");
  const [, , superOptions = ""] = after.split(" ");
  const has = (text: string, option: string) => text.split(",").includes(option);
  return {
    point,
    isWritable: !has(options, "ro") && !has(superOptions, "ro"),
    isDevice: point.startsWith("/dev/") && !has(options, "nodev"),
  };
}

/** Sorted, those of terminals by their kind alone, since they are many. */
function paths(points: readonly string[]): string {
  const kinds = points.map((point) => point.replace(/^(\/dev\/[a-zA-Z]+)\d+$/, "$1*"));
  const sorted = [...new Set(kinds)].sort();
  return sorted.map((point) => `\`${point}\``).join(" ") || "nothing";
}

function capabilities(mask: string): string {
  const bits = BigInt(`0x${mask || "0"}`);
  const names = CAPABILITIES.filter((_, bit) => ((bits >> BigInt(bit)) & 1n) === 1n);
  return names.join(" ") || "none";
}

/** A table in Markdown: a line for each restriction, a column for each daemon. */
export function formatRestrictions(found: readonly Restrictions[]): string {
  const names = Object.keys(found[0]?.rows ?? {});
  const lines = names.map((name) => [name, ...found.map(({ rows }) => rows[name] ?? "")]);
  const table = [["", ...found.map(({ daemon }) => daemon)], ...lines];
  const widths = table[0]?.map((_, column) =>
    Math.max(3, ...table.map((line) => (line[column] ?? "").length)),
  );
  const row = (line: readonly string[]) =>
    `| ${line.map((text, column) => text.padEnd(widths?.[column] ?? 0)).join(" | ")} |`;
  const [head = [], ...rest] = table;
  const rule = `| ${(widths ?? []).map((width) => "-".repeat(width)).join(" | ")} |`;
  return [row(head), rule, ...rest.map(row)].join("\n");
}

/** Puts the table into docs/sandbox.md. @throws HostError where the page has no place for it. */
export async function writeRestrictions(table: string, page = PAGE): Promise<void> {
  const text = await readFile(page, "utf8");
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new HostError(`${page} has no ${BEGIN} before ${END}`);
  const kept = text.slice(0, begin + BEGIN.length);
  await writeFile(page, `${kept}\n\n${table}\n\n${text.slice(end)}`);
}
