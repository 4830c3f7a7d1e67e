/** The processes of a unit, as a tree of its cgroups. */
import { colours } from "../cli/index.ts";
import type { UnitProcess } from "./client.ts";
import { TREE } from "./environment.ts";
import type { Output } from "./output.ts";
import { shorten } from "./width.ts";

/** However deep and narrow it gets, so much of a command is shown. */
const LEAST = 20;

interface Node {
  name: string;
  processes: [pid: number, command: string][];
  children: Map<string, Node>;
}

const newNode = (name: string): Node => ({ name, processes: [], children: new Map() });

/** The processes as they lie in the cgroups below `root`; what lies elsewhere is left out. */
function grow(root: string, processes: readonly UnitProcess[]): Node {
  const top = newNode("");
  for (const [cgroup, pid, command] of processes) {
    if (cgroup !== root && !cgroup.startsWith(`${root}/`)) continue;
    let node = top;
    for (const name of cgroup.slice(root.length).split("/").filter(Boolean)) {
      const child = node.children.get(name) ?? newNode(name);
      node.children.set(name, child);
      node = child;
    }
    node.processes.push([pid, command]);
  }
  return top;
}

/**
 * Draws the tree: in each cgroup first its processes by pid, then the cgroups in it by name.
 *
 * @param prefix what every line starts with
 * @param width the longest line without the prefix; undefined for any
 */
export function drawProcesses(
  output: Output,
  root: string,
  processes: readonly UnitProcess[],
  prefix: string,
  width: number | undefined,
): void {
  draw(output, grow(root, processes), prefix, width);
}

function draw(output: Output, node: Node, prefix: string, width: number | undefined): void {
  const processes = node.processes.sort(([a], [b]) => a - b);
  const children = [...node.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const digits = String(processes.at(-1)?.[0] ?? "").length;
  for (const [at, [pid, command]] of processes.entries()) {
    const last = at === processes.length - 1 && children.length === 0;
    const room = width === undefined ? undefined : Math.max(width - 2 - digits - 1, LEAST);
    const text = `${String(pid).padStart(digits)} ${shorten(command, room, 100)}`;
    output.line(`${prefix}${last ? TREE.corner : TREE.branch}${colours.grey(text)}`);
  }
  for (const [at, child] of children.entries()) {
    const last = at === children.length - 1;
    // The kernel's cgroup files could have the same name; then systemd puts a _ in front.
    output.line(`${prefix}${last ? TREE.corner : TREE.branch}${child.name.replace(/^_/, "")}`);
    draw(
      output,
      child,
      prefix + (last ? TREE.space : TREE.vertical),
      width === undefined ? undefined : width - 2,
    );
  }
}
