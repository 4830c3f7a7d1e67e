/** Whether login1 has what it is to have, and the page that says so. */
import { insertBetween, table } from "../../scripts/page.ts";
import { type ContractMember, INTERFACES, keyOf, type Member } from "./contract.ts";

const ASPECTS = ["in", "out", "access", "emits", "privileged", "hidden"] as const;

/** How a member is another than it should be; undefined if it is not. */
export function difference(wanted: Member, found: Member): string | undefined {
  const faults = ASPECTS.filter((aspect) => wanted[aspect] !== found[aspect]);
  if (faults.length === 0) return undefined;
  return faults.map((aspect) => `${aspect} ${found[aspect]}`).join(", ");
}

const byKey = (members: readonly Member[]) =>
  new Map(members.map((member) => [keyOf(member), member]));

/** What is wrong with the members that our bridge has, a line each. */
export function faults(contract: readonly ContractMember[], ours: readonly Member[]): string[] {
  const found = byKey(ours);
  const wanted = byKey(contract);
  const lines = contract.flatMap((member) => {
    const key = keyOf(member);
    const have = found.get(key);
    if (!have) return [`${key} is missing`];
    const differs = difference(member, have);
    if (!differs) return [];
    const should = ASPECTS.map((aspect) => `${aspect} ${member[aspect]}`).join(", ");
    return [`${key} has ${differs}; it should be ${should}`];
  });
  const extra = [...found.keys()].filter((key) => !wanted.has(key));
  return [...lines, ...extra.map((key) => `${key} is in no login1`)];
}

const BEGIN = "<!-- members: written by bun run members --write -->";
const END = "<!-- end of members -->";

function signature(member: Member): string {
  if (member.kind === "property") {
    return `\`${member.in}\`${member.access === "readwrite" ? ", to be set" : ""}`;
  }
  const input = `(\`${member.in}\`)`.replace("(``)", "()");
  return member.out === "" ? input : `${input} → \`${member.out}\``;
}

/** A server's word on one member: that it has it, that it has not, or how it has another. */
function verdict(member: Member, found: Map<string, Member>): string {
  const have = found.get(keyOf(member));
  return have ? (difference(member, have) ?? "yes") : "no";
}

/**
 * The tables as the page has them between its markers.
 *
 * @param version elogind's
 */
export function tables(
  contract: readonly ContractMember[],
  elogind: readonly Member[],
  ours: readonly Member[],
  version: string,
): string {
  const [theirs, own] = [byKey(elogind), byKey(ours)];
  const count = (found: Map<string, Member>) =>
    contract.filter((member) => verdict(member, found) === "yes").length;
  const parts = INTERFACES.map((name) => {
    const rows = contract
      .filter((member) => member.interface === name)
      .map((member) => [
        member.name,
        member.kind + (member.privileged ? ", root's" : "") + (member.hidden ? ", hidden" : ""),
        signature(member),
        member.emits,
        member.systemd,
        verdict(member, theirs),
        verdict(member, own),
      ]);
    const head = ["member", "kind", "signature", "changes are told", "systemd", "elogind", "ours"];
    return `## ${name}\n\n${table([head, ...rows])}`;
  });
  const summary =
    `Of ${contract.length} members, lainos-dbus-bridge has ${count(own)} just so, ` +
    `and elogind ${version} has ${count(theirs)}.`;
  return [summary, ...parts].join("\n\n");
}

/** The page with new tables; see `insertBetween`. */
export const insertTables = (page: string, text: string): string =>
  insertBetween(page, BEGIN, END, text);
