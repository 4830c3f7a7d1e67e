/**
 * Who may ask for what, by logind's rules: root may; so may a user over what is
 * their own; of everybody else polkit is asked, and where there is no polkit
 * logind's own defaults decide (`default-policy.ts`).
 */
import { BusError, busErrors, type CallContext, type Caller, whenKnown } from "../../dbus/index.ts";
import { ACTIONS, type Action } from "./actions.ts";
import { allowedByDefault } from "./default-policy.ts";
import type { Polkit } from "./polkit.ts";
import { localityOf, type Processes } from "./subject-state.ts";

/** What a caller needs to be allowed to do. */
export interface Right {
  /** The action that polkit is asked about; undefined where it is root's alone. */
  action: Action | undefined;
  /**
   * The user whose own thing it is, and who needs nobody's word for it. For the
   * VT in the foreground logind knows no owner, and neither does `authorize`.
   */
  owner?: number;
  /** For the error message: "terminate this session". */
  what: string;
  /** The call's own argument by which it may ask for a password, where it has one. */
  interactive?: boolean;
}

/** Whether a caller may: by itself, after a password, or not at all, as the Can* methods answer. */
export type Permission = "yes" | "challenge" | "no";

export class Authorizer {
  /**
   * @param polkit is asked about callers that are neither root nor the owner
   * @param processes says where they sit, for when there is no polkit
   */
  constructor(
    private readonly polkit: Polkit,
    private readonly processes: Processes,
  ) {}

  /**
   * Lets through who may: root, the owner, and whom polkit lets. Without a promise where nobody
   * need be asked.
   *
   * Time passes while polkit (and perhaps a person with a password) decides: what
   * the caller meant may be gone by then, so look again before acting on it.
   *
   * @throws {BusError} AccessDenied, with what was asked for;
   *   InteractiveAuthorizationRequired where a password would do and the caller did
   *   not say that it may be asked for; LimitsExceeded where polkit has too many questions
   *   about the caller's user already
   */
  authorize(call: CallContext, right: Right): undefined | Promise<undefined> {
    const owner = right.action === ACTIONS.switchVt ? undefined : right.owner;
    return whenKnown(call.caller(), (caller) =>
      caller.uid === 0 || caller.uid === owner
        ? undefined
        : this.#askPolkit(call, right, owner, caller),
    );
  }

  /** Asks whether a caller may do something, without a password prompt and without doing it. */
  async ask(call: CallContext, right: Right): Promise<Permission> {
    try {
      await this.authorize({ ...call, interactive: false }, right);
      return "yes";
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      const name = error.errorName.slice("org.freedesktop.DBus.Error.".length);
      if (name === "InteractiveAuthorizationRequired") return "challenge";
      if (name === "AccessDenied") return "no";
      throw error;
    }
  }

  async #askPolkit(
    call: CallContext,
    right: Right,
    owner: number | undefined,
    caller: Caller,
  ): Promise<undefined> {
    const { action, what } = right;
    const who = owner === undefined ? "root" : `root and the user ${owner}`;
    const denied = busErrors.accessDenied(`Only ${who} may ${what}`);
    if (action === undefined) throw denied;
    const interactive = call.interactive || right.interactive === true;
    switch (await this.polkit.check(call.sender, caller.uid, action, interactive)) {
      case "yes":
        return;
      case "no":
        throw busErrors.accessDenied(`polkit does not let you ${what} (${action})`);
      case "challenge":
        throw new BusError(
          "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
          `Interactive authentication is required to ${what}`,
        );
      case "late":
        throw busErrors.accessDenied(`polkit did not say in time whether you may ${what}`);
      case "failed":
        throw busErrors.accessDenied(`polkit could not be asked whether you may ${what}`);
      case "busy":
        throw busErrors.limitsExceeded(
          `Too many questions about user ${caller.uid} wait for polkit's answer, so it is not asked whether you may ${what}`,
        );
      case "absent":
        if (!allowedByDefault(action, localityOf(this.processes, caller.pid))) throw denied;
    }
  }
}
