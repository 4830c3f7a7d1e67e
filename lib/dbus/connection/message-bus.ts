/** The message bus itself, which answers calls as org.freedesktop.DBus. */
import { processStatus } from "../../linux/index.ts";
import { BusError } from "../protocol/errors.ts";
import type { Variant } from "../protocol/variant.ts";
import type { Request } from "./calls.ts";

export const BUS = "org.freedesktop.DBus";
export const BUS_PATH = "/org/freedesktop/DBus";

const NAME_ALLOW_REPLACEMENT = 1;
const NAME_REPLACE_EXISTING = 2;
const NAME_DO_NOT_QUEUE = 4;
const NAME_PRIMARY_OWNER = 1;

/** What GetConnectionCredentials answers; each part of it may be left out. */
export interface BusCredentials {
  UnixUserID?: Variant<number>;
  ProcessID?: Variant<number>;
  /** A pidfd, from dbus-daemon 1.15.8 on with Linux 6.5. */
  ProcessFD?: Variant<number>;
}

export class MessageBus {
  readonly #call: (request: Request) => Promise<unknown[]>;

  /** @param call makes a call on a connection to the bus */
  constructor(call: (request: Request) => Promise<unknown[]>) {
    this.#call = call;
  }

  #ask(member: string, signature: string, body: unknown[], timeout = {}): Promise<unknown[]> {
    const bus = { destination: BUS, path: BUS_PATH, interface: BUS };
    return this.#call({ ...bus, member, signature, body, ...timeout });
  }

  /**
   * Has the connection admitted, which comes before anything else.
   *
   * @param timeout in milliseconds
   * @returns the connection's unique name
   */
  async hello(timeout?: number): Promise<string> {
    const [name] = await this.#ask("Hello", "", [], timeout === undefined ? {} : { timeout });
    return String(name);
  }

  async addMatch(rule: string): Promise<void> {
    await this.#ask("AddMatch", "s", [rule]);
  }

  async credentialsOf(uniqueName: string): Promise<BusCredentials> {
    const [credentials] = await this.#ask("GetConnectionCredentials", "s", [uniqueName]);
    return credentials as BusCredentials;
  }

  /**
   * Asks for a well-known name. From a process that has ended and only waits for a thread that the
   * kernel cannot end (state Z in proc(5)), it is taken over: such a one answers nobody any more.
   *
   * @returns whether it is ours now
   */
  async takeName(name: string): Promise<boolean> {
    const flags = NAME_DO_NOT_QUEUE | NAME_ALLOW_REPLACEMENT;
    const ask = async (more: number) =>
      (await this.#ask("RequestName", "su", [name, flags | more]))[0] === NAME_PRIMARY_OWNER;
    return (await ask(0)) || ((await this.#ownerHasEnded(name)) && ask(NAME_REPLACE_EXISTING));
  }

  async #ownerHasEnded(name: string): Promise<boolean> {
    try {
      const [pid] = await this.#ask("GetConnectionUnixProcessID", "s", [name]);
      return (processStatus(Number(pid))?.state ?? "Z") === "Z";
    } catch (error) {
      // It has left meanwhile.
      if (error instanceof BusError) return true;
      throw error;
    }
  }
}
