/** What QEMU's screen shows, to count by. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostError } from "../host.ts";

/**
 * The colours of a screendump as #rrggbb, and how many pixels have each.
 * @param screendump writes the picture to the file that it is given, as a PPM one
 * @throws HostError where it is none.
 */
export async function countColours(
  screendump: (file: string) => Promise<unknown>,
): Promise<Map<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), "p7-screen-"));
  try {
    const file = join(folder, "screen.ppm");
    await screendump(file);
    const bytes = await readFile(file);
    // "P6", width and height, the largest value, and then three bytes a pixel (ppm(5)).
    const header = /^P6\s+\d+\s+\d+\s+255\s/.exec(bytes.subarray(0, 64).toString("latin1"));
    if (header === null) throw new HostError("the screendump is no PPM file");
    const counts = new Map<string, number>();
    for (let at = header[0].length; at + 2 < bytes.length; at += 3) {
      const colour = `#${bytes.toString("hex", at, at + 3)}`;
      counts.set(colour, (counts.get(colour) ?? 0) + 1);
    }
    return counts;
  } finally {
    await rm(folder, { recursive: true });
  }
}
