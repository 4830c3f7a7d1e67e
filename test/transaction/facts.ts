/** What packages say of themselves: Arch's from the tables beside this file. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** A package's relations, as .PKGINFO and a repository's database have them. */
export interface Facts {
  readonly name: string;
  /** [epoch:]version-release */
  readonly version: string;
  readonly depends: readonly string[];
  readonly provides: readonly string[];
  readonly conflicts: readonly string[];
  readonly replaces: readonly string[];
  readonly backup: readonly string[];
}

/** One of Arch's packages, with the repository that it is in. */
export interface ArchFacts extends Facts {
  readonly repository: "core" | "extra";
}

/** What a package says that only depends on others. */
export function factsOf(name: string, depends: readonly string[]): Facts {
  const none = { provides: [], conflicts: [], replaces: [], backup: [] };
  return { name, version: "1-1", depends, ...none };
}

/**
 * Reads a table: tabs between the columns that its last comment names, blanks between the entries of
 * a column, `-` where there is none.
 * @throws Error that names the line where a column is missing.
 */
export async function readTable(name: string): Promise<ArchFacts[]> {
  const text = await readFile(join(import.meta.dir, name), "utf8");
  const lines = text.split("\n").map((line, index) => ({ line, place: `${name}:${index + 1}` }));
  return lines.filter(({ line }) => line !== "" && !line.startsWith("#")).map(parseLine);
}

function parseLine({ line, place }: { line: string; place: string }): ArchFacts {
  const [name = "", version = "", repository, ...lists] = line.split("\t");
  if (repository !== "core" && repository !== "extra") {
    throw new Error(`${place}: ${repository} is no repository of Arch's`);
  }
  if (lists.length !== 5) throw new Error(`${place}: it has ${lists.length + 3} columns, not 8`);
  const [depends, provides, conflicts, replaces, backup] = lists.map((list) =>
    list === "-" ? [] : list.split(" "),
  ) as [string[], string[], string[], string[], string[]];
  return { name, version, repository, depends, provides, conflicts, replaces, backup };
}
