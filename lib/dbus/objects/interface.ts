/**
 * Interfaces as data: names, signatures, handlers and annotations, from which
 * introspection, Get, GetAll, Set and PropertiesChanged all come.
 */
import { type Body, type Result, splitSignature } from "../protocol/signature.ts";
import { Variant } from "../protocol/variant.ts";

/** What a handler knows of the call that it answers, besides the arguments. */
export interface CallContext {
  /** The caller's unique name. */
  readonly sender: string;
  /** The object path that it called. */
  readonly path: string;
  /** The caller is ready to answer a password prompt. */
  readonly interactive: boolean;
  /** The caller's uid and pid, as the bus vouches for them. */
  caller(): { uid: number; pid: number } | Promise<{ uid: number; pid: number }>;
  /** Keeps a received descriptor: those not kept are closed when the call ends. */
  keep(fd: number): number;
}

/** org.freedesktop.DBus.Property.EmitsChangedSignal, in the D-Bus specification's words. */
export type EmitsChanged = "true" | "invalidates" | "const" | "false";

export interface Argument {
  name: string;
  type: string;
}

export interface MethodMember<Target> {
  kind: "method";
  in: Argument[];
  out: Argument[];
  inSignature: string;
  outSignature: string;
  privileged?: true;
  handle(target: Target, body: unknown[], call: CallContext): unknown[] | Promise<unknown[]>;
}

export interface PropertyMember<Target> {
  kind: "property";
  type: string;
  emits: EmitsChanged;
  /** To be written by root alone. */
  privileged?: true;
  hidden?: true;
  drifting?: true;
  get(target: Target): Variant;
  set?: (target: Target, value: unknown, call: CallContext) => Promise<void>;
}

export interface SignalMember {
  kind: "signal";
  arguments: Argument[];
  signature: string;
}

/** Methods and properties by name. */
export type Members<Target> = Record<string, MethodMember<Target> | PropertyMember<Target>>;

/** One D-Bus interface of objects of the class `Target`. */
export interface Interface<Target> {
  name: string;
  members: Members<Target>;
  /** Apart from the rest, since a signal may have the name of a method. */
  signals?: Record<string, SignalMember>;
}

function toArguments(signature: string, names: readonly string[], where: string): Argument[] {
  const types = splitSignature(signature);
  if (types.length !== names.length) {
    throw new TypeError(`${where} ${signature} has ${types.length} types, ${names.length} names`);
  }
  return types.map((type, index) => ({ name: names[index] ?? "", type }));
}

/**
 * Says in introspection that root alone may call the method or write the property
 * (org.freedesktop.systemd1.Privileged, as sd-bus writes it). The handler checks it.
 */
export function privileged<Member extends MethodMember<never> | PropertyMember<never>>(
  member: Member,
): Member {
  return { ...member, privileged: true };
}

/** Keeps an obsolete property out of introspection and GetAll: only Get knows it, as with sd-bus. */
export function hidden<Target>(member: PropertyMember<Target>): PropertyMember<Target> {
  return { ...member, hidden: true };
}

/**
 * A property that becomes another value with time, or with those of others: it is told whenever it may
 * have changed, as nobody can say which value was known.
 */
export function drifting<Target>(member: PropertyMember<Target>): PropertyMember<Target> {
  return { ...member, drifting: true };
}

/** Goes on with a value: at once if it is there, so that an answer need not wait for its turn. */
export function whenKnown<Value, Next>(
  value: Value | Promise<Value>,
  next: (value: Value) => Next | Promise<Next>,
): Next | Promise<Next> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** The three kinds of member, for objects of the class `Target`. */
export function membersOf<Target>() {
  return {
    /**
     * A method. Its handler gets the arguments as `input` types them, and
     * returns nothing, one value, or a tuple, as `output` says. It answers with
     * an error by throwing a BusError.
     */
    method<const In extends string, const Out extends string>(
      input: In,
      inNames: readonly string[],
      output: Out,
      outNames: readonly string[],
      handle: (
        target: Target,
        body: Body<In>,
        call: CallContext,
      ) => Result<Out> | Promise<Result<Out>>,
    ): MethodMember<Target> {
      const out = toArguments(output, outNames, "output");
      // The types hold for whoever writes a handler; here the signature is checked at run time.
      const untyped = handle as unknown as (...values: unknown[]) => unknown;
      const toBody = (result: unknown): unknown[] => {
        if (out.length === 0) return [];
        return out.length === 1 ? [result] : (result as unknown[]);
      };
      return {
        kind: "method",
        in: toArguments(input, inNames, "input"),
        out,
        inSignature: input,
        outSignature: output,
        handle: (target, body, call) => whenKnown(untyped(target, body, call), toBody),
      };
    },

    /** A property, read-only without `set`. */
    property<const Type extends string>(
      type: Type,
      emits: EmitsChanged,
      get: (target: Target) => Result<Type>,
      set?: (target: Target, value: Result<Type>, call: CallContext) => void | Promise<void>,
    ): PropertyMember<Target> {
      const member: PropertyMember<Target> = {
        kind: "property",
        type,
        emits,
        get: (target) => new Variant<unknown>(type, get(target)),
      };
      if (set) {
        const untyped = set as unknown as (...values: unknown[]) => unknown;
        member.set = async (target, value, call) => void (await untyped(target, value, call));
      }
      return member;
    },

    /** A signal; `ObjectTree.emit` sends it. */
    signal(signature: string, names: readonly string[]): SignalMember {
      return { kind: "signal", arguments: toArguments(signature, names, "signal"), signature };
    },
  };
}
