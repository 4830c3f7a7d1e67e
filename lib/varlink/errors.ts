/** Errors that travel as varlink's: a qualified name and parameters. */
import { errno } from "../linux/index.ts";

/** A failed call: what a handler throws to answer with. */
export class VarlinkError extends Error {
  constructor(
    /** The qualified name, `org.varlink.service.InvalidParameter`. */
    readonly errorName: string,
    readonly parameters: Readonly<Record<string, unknown>> = {},
  ) {
    super(`${errorName} ${JSON.stringify(parameters)}`);
    this.name = "VarlinkError";
  }
}

const standard = (name: string, parameters?: Record<string, unknown>) =>
  new VarlinkError(`org.varlink.service.${name}`, parameters);

/** What org.varlink.service defines for every service, and systemd's services in addition. */
export const varlinkErrors = {
  interfaceNotFound: (name: string) => standard("InterfaceNotFound", { interface: name }),
  methodNotFound: (method: string) => standard("MethodNotFound", { method }),
  methodNotImplemented: (method: string) => standard("MethodNotImplemented", { method }),
  invalidParameter: (parameter: string) => standard("InvalidParameter", { parameter }),
  permissionDenied: () => standard("PermissionDenied"),
  expectedMore: () => standard("ExpectedMore"),
  /** A failure that is not the caller's: the errno behind it, or EIO where there is none. */
  system(error: unknown): VarlinkError {
    const code = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
    const known = Object.entries(errno).find(([name]) => name === code);
    const [errnoName, number] = known ?? ["EIO", errno.EIO];
    return new VarlinkError("io.systemd.System", { origin: "linux", errno: number, errnoName });
  },
};
