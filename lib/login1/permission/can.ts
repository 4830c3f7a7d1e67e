/** Asking whether somebody may, without doing it. */
import { BusError, type CallContext } from "../../dbus/index.ts";
import { authorize, type Right } from "./authorize.ts";

/** Whether a caller may do something: by itself, after a password, or not at all, as the Can* methods answer. */
export async function askFor(call: CallContext, right: Right): Promise<"yes" | "challenge" | "no"> {
  try {
    await authorize({ ...call, interactive: false }, right);
    return "yes";
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    const name = error.errorName.slice("org.freedesktop.DBus.Error.".length);
    if (name === "InteractiveAuthorizationRequired") return "challenge";
    if (name === "AccessDenied") return "no";
    throw error;
  }
}
