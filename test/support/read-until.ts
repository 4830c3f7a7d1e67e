/** Reading what a program says, up to what is waited for. */

/**
 * Reads a program's output up to where all of it matches; the rest is still to be read.
 *
 * @returns what was read
 * @throws {Error} with what was read, if the output ends before
 */
export async function readUntil(
  output: ReadableStream<Uint8Array>,
  pattern: RegExp,
): Promise<string> {
  let text = "";
  const reader = output.getReader();
  try {
    while (!pattern.test(text)) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`it ended before ${pattern}: ${text}`);
      text += Buffer.from(value).toString();
    }
  } finally {
    reader.releaseLock();
  }
  return text;
}
