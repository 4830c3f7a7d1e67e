/** Interfaces as data, and the call that goes to one of their methods; org.varlink.service is always one. */
import { VarlinkError, varlinkErrors } from "./errors.ts";
import type { Call } from "./message.ts";
import { Parameters } from "./parameters.ts";
import type { Peer } from "./peer.ts";

export type Reply = Readonly<Record<string, unknown>>;

/**
 * Does what the answer to a call need not wait for: when the answer is on its way, or there is nobody
 * any more who would take it. `task` must not throw.
 */
export type AfterReply = (task: () => void) => void;

/**
 * Several replies to one call, or none. Each is made when the caller takes it: one that reads slowly
 * has no more than one of them waiting here. To make one must not throw.
 */
export class Replies {
  constructor(readonly each: Iterator<Reply>) {}
}

export type Answer = Reply | Replies;

/**
 * A method. It answers with an error by throwing a VarlinkError. Replies are for callers who say that
 * they take several (`more`); the others get the error ExpectedMore.
 */
export type Method = (
  parameters: Call["parameters"],
  peer: Peer,
  afterReply: AfterReply,
) => Answer | Promise<Answer>;

export interface Interface {
  name: string;
  /** In varlink's interface definition language; see https://varlink.org/Interface-Definition. */
  description: string;
  methods: Readonly<Record<string, Method>>;
  /** The methods that have nothing to say to a caller who takes but one reply. */
  needMore?: readonly string[];
}

/** What org.varlink.service.GetInfo says of the service. */
export interface Info {
  vendor: string;
  product: string;
  version: string;
  url: string;
}

const SERVICE = "org.varlink.service";

const SERVICE_DESCRIPTION = `# What every varlink service has
interface ${SERVICE}

# Who made the service, and which interfaces it has
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# An interface's definition
method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
`;

/** The methods of one socket. */
export class Service {
  readonly #interfaces = new Map<string, Interface>();
  readonly #onFailure: (call: Call, error: unknown) => void;

  /**
   * @param onFailure is told when a method throws something other than a VarlinkError: a fault of
   *   ours or of the system, which the caller sees as io.systemd.System, as from systemd's services
   */
  constructor(
    info: Info,
    interfaces: readonly Interface[],
    onFailure: (call: Call, error: unknown) => void,
  ) {
    this.#onFailure = onFailure;
    for (const each of [this.#own(info), ...interfaces]) this.#interfaces.set(each.name, each);
  }

  #own(info: Info): Interface {
    return {
      name: SERVICE,
      description: SERVICE_DESCRIPTION,
      methods: {
        GetInfo: (given) => {
          new Parameters(given, []);
          return { ...info, interfaces: [...this.#interfaces.keys()].toSorted() };
        },
        GetInterfaceDescription: (given) => {
          const parameters = new Parameters(given, ["interface"]);
          const name = parameters.required("interface", parameters.string("interface"));
          return { description: this.#interface(name).description };
        },
      },
    };
  }

  #interface(name: string): Interface {
    const found = this.#interfaces.get(name);
    if (!found) throw varlinkErrors.interfaceNotFound(name);
    return found;
  }

  /** Makes a call and gives its answer, which may be an error; it never throws. */
  async call(call: Call, peer: Peer, afterReply: AfterReply): Promise<Answer | VarlinkError> {
    try {
      const dot = call.method.lastIndexOf(".");
      const { methods, needMore } = this.#interface(call.method.slice(0, Math.max(dot, 0)));
      const name = call.method.slice(dot + 1);
      const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
      if (!method) throw varlinkErrors.methodNotFound(call.method);
      // No method here turns a connection into something else.
      if (call.upgrade) throw varlinkErrors.methodNotImplemented(call.method);
      if (needMore?.includes(name) && !call.more) throw varlinkErrors.expectedMore();
      const answer = await method(call.parameters, peer, afterReply);
      if (answer instanceof Replies && !call.more) throw varlinkErrors.expectedMore();
      return answer;
    } catch (error) {
      if (error instanceof VarlinkError) return error;
      this.#onFailure(call, error);
      return varlinkErrors.system(error);
    }
  }
}
