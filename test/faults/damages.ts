/** A dozen ways in which what stands in a file, or stands in its place, is not what the bridge wrote. */

/** Values in the place of a good one; undefined leaves the key out. */
export const DAMAGES: readonly (string | undefined)[] = [
  undefined,
  "",
  "x",
  "-1",
  "1.5",
  "1e3",
  "0x10",
  "9223372036854775808000",
  "18446744073709551615",
  "12 34",
  "1\0",
  "\u0001\ufffd\ufffe",
  "y".repeat(100_000),
];

/** What may be in the place of a file. $1 is the place, $2 a file with what would be good. */
export const PLACES: readonly [what: string, script: string][] = [
  ["a folder", 'mkdir -p "$1" && cp "$2" "$1/file"'],
  ["a link", 'ln -s "$2" "$1"'],
  ["a link in a circle", 'ln -s "$1" "$1"'],
  ["a fifo", 'mkfifo "$1"'],
  ["a device", 'mknod "$1" c 1 5'],
  ["another user's file", 'cp "$2" "$1" && chown 65534 "$1"'],
  ["noise", 'head -c 3000 /dev/urandom >"$1"'],
  ["nothing in it", ': >"$1"'],
  ["a file without an end", '{ cat "$2"; yes "# more" | head -c 2000000; } >"$1"'],
];

/** A state file with these values. */
export const stateText = (values: Readonly<Record<string, string | undefined>>): string =>
  Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${value}\n`)
    .join("");
