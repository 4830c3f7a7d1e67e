/** The one header field that has to be known before dbus-next parses a message; see the D-Bus specification, "Message Format". */

const LITTLE_ENDIAN = 0x6c;
const UNIX_FDS = 9;

/**
 * How many descriptors belong to a message (its UNIX_FDS field).
 *
 * @param fixed the first 16 bytes of the message
 * @param rest what follows, which starts with the header fields
 */
export function countDescriptors(fixed: Buffer, rest: Buffer): number {
  const little = fixed[0] === LITTLE_ENDIAN;
  const u32 = (from: Buffer, at: number) =>
    little ? from.readUInt32LE(at) : from.readUInt32BE(at);
  const end = u32(fixed, 12);
  const align = (at: number, to: number) => (at + to - 1) & -to;
  for (let at = 0; at < end; ) {
    // Each field is a struct (byte code, variant), the variant's type one of s, o, g, u.
    at = align(at, 8);
    const code = rest[at];
    const signatureLength = rest[at + 1] ?? 0;
    const type = String.fromCharCode(rest[at + 2] ?? 0);
    at += 2 + signatureLength + 1;
    if (type === "g") {
      at += 1 + (rest[at] ?? 0) + 1;
      continue;
    }
    at = align(at, 4);
    if (at + 4 > rest.length) return 0;
    const value = u32(rest, at);
    if (type === "u") {
      if (code === UNIX_FDS) return value;
      at += 4;
    } else if (type === "s" || type === "o") at += 4 + value + 1;
    else return 0;
  }
  return 0;
}
