/** Differences that are there on purpose, each with its reason; docs/beside-logind.md says more. */
import type { Difference } from "./compare.ts";

interface Explanation {
  reason: string;
  explains: (difference: Difference) => boolean;
}

/** A difference at a place like this, of values that are like these as JSON. */
const at =
  (where: RegExp, ours = /^/, logind = /^/) =>
  (difference: Difference): boolean =>
    where.test(difference.where) &&
    ours.test(JSON.stringify(difference.ours) ?? "none") &&
    logind.test(JSON.stringify(difference.logind) ?? "none");

const EXPLANATIONS: readonly Explanation[] = [
  {
    reason: "the texts of errors are our own",
    explains: at(/^reply \w+\.message$/),
  },
  {
    reason: "the login prompts on VTs are OpenRC's",
    explains: at(/^manager\.NAutoVTs$/),
  },
  {
    reason: "there is no service manager of a user's",
    explains: at(/^users\.\d+\.Service$/),
  },
  {
    reason:
      "a session's scope is its user's to divide, so that its processes begin one level below",
    explains: at(/^libsystemd\.processes\.\w+\.cgroup$/),
  },
  {
    reason: "OpenRC passes no reboot parameter on",
    explains: at(
      /^reply rebootParameter|^reply can\.0$|^manager\.RebootParameter$/,
      /NotSupported|"na"|""/,
    ),
  },
  {
    reason: "logind says ESRCH of a user that there is not",
    explains: at(/^reply createSession\.error$/, /InvalidArgs/, /UnixProcessIdUnknown/),
  },
  {
    reason: "logind leaves a session that is gone in its seat's and user's files for a while",
    explains: at(
      /^libsystemd\.(seats\.[\w-]+\.(sessions|uids)|users\.\d+\.(\w*sessions|\w*seats|display|on_seat\..*))(\.\d+)?$/,
    ),
  },
  {
    reason: "logind leaves the state of a user who lingers as it was with the last session",
    explains: at(/^libsystemd\.users\.\d+\.state$/, /"lingering"/, /"closing"/),
  },
  {
    reason: "logind tells which session was the display, when that goes, and not which is",
    explains: at(
      /^signals\..*\/user\/_\d+$/,
      /^\[\["PropertiesChanged",\{"Display":\[[^\]]*\]\},\[\]\]\]$/,
      /none/,
    ),
  },
];

/** Why the two may differ so; undefined where nothing says so. */
export function explanationOf(difference: Difference): string | undefined {
  return EXPLANATIONS.find(({ explains }) => explains(difference))?.reason;
}
