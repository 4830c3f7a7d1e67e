/** Which of our packages pacman believes: what pacman.conf says with a key of the project's and without. */
import { join } from "node:path";
import { ROOT } from "../build.ts";
import { REPOSITORIES } from "../repo/repository.ts";

/** The keys that sign LainOS' packages; packages/lainos-keyring/PKGBUILD says where they come from. */
export const PUBLIC_KEYS = join(ROOT, "packages/lainos-keyring/lainos.pub");

/** The package that needs them. */
export const KEYRING = "lainos-keyring";

/** What both repositories of ours ask for. pacman.conf(5): nothing unsigned, by trusted keys only. */
export const LEVEL = "Required DatabaseRequired";

/** Is there a key? Without one the medium's pacman is told of no repository of ours. */
export function hasKeys(file = PUBLIC_KEYS): Promise<boolean> {
  return Bun.file(file).exists();
}

const CLOSED = `# Closed: this medium was built without a key that LainOS' packages are signed with, so nothing
# could tell them from someone else's. Install lainos-keyring, then take the number signs away.
`;

const ours = (section: string) => REPOSITORIES.some((name) => section.startsWith(`[${name}]`));

/** A pacman.conf with the sections of our repositories turned to comments, and why. */
export function closeRepositories(config: string): string {
  const [options = "", ...sections] = config.split(/^(?=\[)/m);
  return [
    options,
    ...sections.map((section) =>
      ours(section) ? `${CLOSED}${section.replaceAll(/^(?=[^#\n])/gm, "#")}` : section,
    ),
  ].join("");
}

/** What a build says of it, in a line. */
export function trustLine(keys: boolean): string {
  return keys
    ? `signatures: SigLevel = ${LEVEL} for ${REPOSITORIES.join(" and ")}, by the keys of ${KEYRING}`
    : `signatures: there is no packages/lainos-keyring/lainos.pub, so ${REPOSITORIES.join(" and ")} are closed in the medium's pacman.conf, and ${KEYRING} is left out`;
}
