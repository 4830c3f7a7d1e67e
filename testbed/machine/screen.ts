/** What QEMU's screen shows, to look at by a program. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostError } from "../../scripts/host.ts";

/** What a screen showed at one moment. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** The colour of a pixel as #rrggbb. */
  at(x: number, y: number): string;
}

/**
 * Takes a picture of a screen.
 * @param screendump writes the picture to the file that it is given, as a PPM one
 * @throws HostError where it is none.
 */
export async function readScreen(screendump: (file: string) => Promise<unknown>): Promise<Picture> {
  const folder = await mkdtemp(join(tmpdir(), "p7-screen-"));
  try {
    const file = join(folder, "screen.ppm");
    await screendump(file);
    const bytes = await readFile(file);
    // "P6", width and height, the largest value, and then three bytes a pixel (ppm(5)).
    const header = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.subarray(0, 64).toString("latin1"));
    if (header === null) throw new HostError("the screendump is no PPM file");
    const [start, width, height] = [header[0].length, Number(header[1]), Number(header[2])];
    const at = (x: number, y: number) => {
      const from = start + (y * width + x) * 3;
      return `#${bytes.toString("hex", from, from + 3)}`;
    };
    return { width, height, at };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The colours of a picture as #rrggbb, and how many pixels have each. */
export function countColours({ width, height, at }: Picture): Map<string, number> {
  const counts = new Map<string, number>();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const colour = at(x, y);
      counts.set(colour, (counts.get(colour) ?? 0) + 1);
    }
  }
  return counts;
}
