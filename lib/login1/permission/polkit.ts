/** polkit's word on a caller; see org.freedesktop.PolicyKit1.Authority in polkit's reference manual. */
import type { Logger } from "../../cli/index.ts";
import { BusError, type Connection, Variant } from "../../dbus/index.ts";

const NAME = "org.freedesktop.PolicyKit1";
const PATH = "/org/freedesktop/PolicyKit1/Authority";
const INTERFACE = "org.freedesktop.PolicyKit1.Authority";
const ALLOW_USER_INTERACTION = 1;

/**
 * `challenge`: a password would do, and nobody was asked for it; `late`: no answer
 * in time; `failed`: polkit is there, or should be, and answers with an error;
 * `absent`: the bus knows no polkit, running or to be started; `busy`: too many questions about
 * this user wait for an answer.
 */
export type Verdict = "yes" | "no" | "challenge" | "late" | "failed" | "absent" | "busy";

/**
 * How many questions about one user may wait: for a person, and at all. Those without a person
 * polkit answers at once; the others are a user's to leave open, by an agent of their own.
 */
const MOST_WITH_PERSON = 16;
const MOST_OF_USER = 128;
/** The same for all users together: half of what dbus-daemon lets wait (see org.freedesktop.login1.conf). */
const MOST_WITH_PERSONS = 128;

/** How long polkit has, in milliseconds. */
export interface AuthorizationTimeout {
  /** When it decides by itself. */
  alone: number;
  /** When a person may be typing a password. */
  withPerson: number;
}

const TIMEOUTS: AuthorizationTimeout = { alone: 25_000, withPerson: 300_000 };

/** The bus's words for a name that nobody has and that it cannot start. */
const NOBODY = [
  "org.freedesktop.DBus.Error.ServiceUnknown",
  "org.freedesktop.DBus.Error.NameHasNoOwner",
];

export class Polkit {
  readonly #connection: Connection;
  readonly #log: Logger;
  readonly #timeouts: AuthorizationTimeout;
  /** What is being asked, by the caller that it is about. */
  readonly #asked = new Map<string, Set<string>>();
  /** How many questions wait, by the uid that they are about. */
  readonly #waiting = new Map<number, { all: number; withPerson: number }>();
  #withPersons = 0;
  #count = 0;

  constructor(connection: Connection, log: Logger, timeouts = TIMEOUTS) {
    this.#connection = connection;
    this.#log = log;
    this.#timeouts = timeouts;
    // A prompt for somebody who has left would stay on the screen.
    connection.onNameLost((name) => {
      for (const id of this.#asked.get(name) ?? []) this.#cancel(id);
    });
  }

  /**
   * Asks whether the caller with this unique bus name may do what the action names.
   * Nothing is remembered: polkit's rules and who is in the foreground may change
   * between two calls.
   *
   * An agent of the user's own may leave a question unanswered for minutes, so one user's are few.
   *
   * @param uid the caller's
   * @param interactive whether polkit may ask a person for a password
   */
  async check(name: string, uid: number, action: string, interactive: boolean): Promise<Verdict> {
    const waiting = this.#waiting.get(uid) ?? { all: 0, withPerson: 0 };
    const withPerson = interactive ? 1 : 0;
    const tooMany =
      waiting.all >= MOST_OF_USER ||
      waiting.withPerson + withPerson > MOST_WITH_PERSON ||
      this.#withPersons + withPerson > MOST_WITH_PERSONS;
    if (tooMany) return "busy";
    this.#waiting.set(uid, waiting);
    waiting.all++;
    waiting.withPerson += withPerson;
    this.#withPersons += withPerson;
    try {
      return await this.#ask(name, action, interactive);
    } finally {
      waiting.all--;
      waiting.withPerson -= withPerson;
      this.#withPersons -= withPerson;
      if (waiting.all === 0) this.#waiting.delete(uid);
    }
  }

  async #ask(name: string, action: string, interactive: boolean): Promise<Verdict> {
    const id = `lainos-${++this.#count}`;
    const asked = this.#asked.get(name) ?? new Set();
    this.#asked.set(name, asked.add(id));
    try {
      const [result] = await this.#connection.call({
        destination: NAME,
        path: PATH,
        interface: INTERFACE,
        member: "CheckAuthorization",
        signature: "(sa{sv})sa{ss}us",
        body: [
          ["system-bus-name", { name: new Variant("s", name) }],
          action,
          {},
          interactive ? ALLOW_USER_INTERACTION : 0,
          id,
        ],
        timeout: interactive ? this.#timeouts.withPerson : this.#timeouts.alone,
        autoStart: true,
      });
      const [authorized, challenge] = result as [boolean, boolean, unknown];
      if (authorized) return "yes";
      return challenge ? "challenge" : "no";
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      if (NOBODY.includes(error.errorName)) return "absent";
      this.#log.warning(`polkit on ${action} for ${name}: ${error.message} (${error.errorName})`);
      if (error.errorName !== "org.freedesktop.DBus.Error.NoReply") return "failed";
      this.#cancel(id);
      return "late";
    } finally {
      asked.delete(id);
      if (asked.size === 0) this.#asked.delete(name);
    }
  }

  /** Takes a question back, so that nobody is prompted for it any more. */
  #cancel(id: string): void {
    const request = {
      destination: NAME,
      path: PATH,
      interface: INTERFACE,
      member: "CancelCheckAuthorization",
      signature: "s",
      body: [id],
    };
    // It may have been answered meanwhile, which polkit reports as an error.
    this.#connection
      .call(request)
      .catch((error: Error) => this.#log.debug(`cancelling ${id}: ${error.message}`));
  }
}
