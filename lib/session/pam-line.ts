/** What the line of a PAM file says of the sessions that it makes; the words are those of pam_systemd(8). */
import { SESSION_CLASSES, SESSION_TYPES } from "../sd-login/index.ts";

/** What counts where the login's environment says nothing. */
export interface LineArguments {
  class?: string | undefined;
  type?: string | undefined;
  desktop?: string | undefined;
}

/** Asks for no session at all. */
export const NO_SESSION = "none";

/** What a session may be asked to be. */
export const ASKED_CLASSES = [...SESSION_CLASSES, NO_SESSION] as const;

/** Words of pam_systemd's for what is not here: docs/registration.md. They are right, and do nothing. */
const WITHOUT_EFFECT =
  /^(?:debug(?:=.*)?|(?:area|inhibit|inhibit-why|default-capability-(?:bounding|ambient)-set)=.*)$/s;

/**
 * Reads the arguments of the line.
 *
 * @param words as PAM gives them to the module
 * @param warn is told of each that is wrong, which counts as not being there
 */
export function lineArguments(
  words: readonly string[],
  warn: (message: string) => void,
): LineArguments {
  const line: LineArguments = {};
  for (const word of words) {
    const [, name = "", value = ""] = /^(class|type|desktop)=(.*)$/s.exec(word) ?? [];
    const known = knownValues(name);
    if (known && !known.includes(value)) {
      warn(`${word} in a PAM file is left out: ${name}= is one of ${known.join(", ")}`);
    } else if (name !== "") {
      line[name as keyof LineArguments] = value;
    } else if (!WITHOUT_EFFECT.test(word)) {
      warn(`${word} in a PAM file is left out: it is no argument of pam_systemd.so`);
    }
  }
  return line;
}

function knownValues(name: string): readonly string[] | undefined {
  if (name === "class") return ASKED_CLASSES;
  return name === "type" ? SESSION_TYPES : undefined;
}
