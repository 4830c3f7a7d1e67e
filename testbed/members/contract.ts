/** What login1's interfaces are to have: the facts of login1.tsv. */
import { join } from "node:path";

/** The interfaces by the last part of their names, in the order in which they are shown. */
export const INTERFACES = ["Manager", "Session", "User", "Seat"] as const;
export type InterfaceName = (typeof INTERFACES)[number];

/** A method, signal or property as a client sees it. */
export interface Member {
  interface: InterfaceName;
  kind: "method" | "property" | "signal";
  name: string;
  /** The signature of the arguments, or a property's type. */
  in: string;
  /** What a method answers with. */
  out: string;
  /** A property's: read or readwrite. */
  access: string;
  /** A property's EmitsChangedSignal. */
  emits: string;
  privileged: boolean;
  /** Neither in introspection nor in GetAll: only Get tells of it. */
  hidden: boolean;
}

/** A member that login1 is to have. */
export interface ContractMember extends Member {
  /** The systemd that has it; "no" for elogind's own. */
  systemd: string;
}

/** Which member it is, for a comparison: a signal may have the name of a method. */
export const keyOf = ({ interface: at, kind, name }: Member) => `${at} ${kind} ${name}`;

/** Reads login1.tsv, in its order. */
export async function readContract(): Promise<ContractMember[]> {
  const text = await Bun.file(join(import.meta.dir, "login1.tsv")).text();
  const [, ...lines] = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => {
    const [
      at,
      kind,
      name = "",
      input = "",
      out = "",
      access = "",
      emits = "",
      flags = "",
      systemd,
    ] = line.split("\t");
    return {
      interface: at as InterfaceName,
      kind: kind as Member["kind"],
      name,
      in: input,
      out,
      access,
      emits,
      privileged: flags.includes("privileged"),
      hidden: flags.includes("hidden"),
      systemd: systemd ?? "",
    };
  });
}
