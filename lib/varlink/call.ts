/** The calling side of varlink, as far as a program needs it that makes one call: https://varlink.org/Method-Call. */
import { VarlinkError } from "./errors.ts";
import { LONGEST_MESSAGE } from "./message.ts";

/**
 * Makes one call on a connection of its own.
 *
 * @param timeout for all of it, in milliseconds
 * @returns the reply's parameters; undefined if nobody listens at `path`, or who did was gone before
 *   the answer: whether the call had an effect is not known then
 * @throws {VarlinkError} the service's answer, if it is an error
 * @throws {Error} there is no answer in that time, or none that makes sense
 */
export async function callVarlink(
  path: string,
  method: string,
  parameters: Readonly<Record<string, unknown>>,
  timeout: number,
): Promise<Record<string, unknown> | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const timer = setTimeout(() => reject(new Error(`${path}: no answer to ${method}`)), timeout);
  const decoder = new TextDecoder();
  let received = "";
  let socket: Bun.Socket | undefined;
  try {
    socket = await Bun.connect({
      unix: path,
      socket: {
        data(_socket, bytes) {
          received += decoder.decode(bytes, { stream: true });
          const end = received.indexOf("\0");
          if (end >= 0) resolve(received.slice(0, end));
          else if (received.length > LONGEST_MESSAGE)
            reject(new Error(`${path}: an answer too long`));
        },
        close: () => resolve(undefined),
        error: (_socket, error) => reject(error),
      },
    });
  } catch {
    // Bun does not say why; a socket that is not there and one that nobody serves are the same here.
    clearTimeout(timer);
    return undefined;
  }
  try {
    // A new socket's buffer takes a message of a call's size whole.
    socket.write(`${JSON.stringify({ method, parameters })}\0`);
    const text = await promise;
    if (text === undefined) return undefined;
    const reply = JSON.parse(text) as {
      error?: string;
      parameters?: Record<string, unknown>;
    };
    if (reply.error !== undefined) throw new VarlinkError(reply.error, reply.parameters);
    return reply.parameters ?? {};
  } finally {
    clearTimeout(timer);
    socket.end();
  }
}
