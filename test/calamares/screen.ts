/** An X server in memory, what it shows, and the keys and the pointer of who sits before it. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { $ } from "zx";

/** What a screen showed at one moment. */
export class Picture {
  constructor(
    readonly width: number,
    readonly height: number,
    /** Three bytes a pixel: red, green, blue. */
    readonly pixels: Uint8Array,
  ) {}

  /** The colour of a pixel as #rrggbb. */
  at(x: number, y: number): string {
    const at = (y * this.width + x) * 3;
    return `#${Buffer.from(this.pixels.subarray(at, at + 3)).toString("hex")}`;
  }

  /** How many pixels have a colour, in a part of the picture. */
  count(colour: string, part: Part = {}): number {
    const { left = 0, top = 0, right = this.width, bottom = this.height } = part;
    const [red, green, blue] = Buffer.from(colour.slice(1), "hex");
    let found = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const at = (y * this.width + x) * 3;
        const pixels = this.pixels;
        if (pixels[at] === red && pixels[at + 1] === green && pixels[at + 2] === blue) found++;
      }
    }
    return found;
  }

  /** The picture as a PNG file's bytes (PNG 3rd edition, 11.2): 8 bits, RGB, no filter. */
  png(): Buffer {
    const header = Buffer.alloc(13);
    header.writeUInt32BE(this.width, 0);
    header.writeUInt32BE(this.height, 4);
    header.set([8, 2, 0, 0, 0], 8);
    const row = this.width * 3;
    const lines = Buffer.alloc(this.height * (row + 1));
    for (let y = 0; y < this.height; y++) {
      lines.set(this.pixels.subarray(y * row, (y + 1) * row), y * (row + 1) + 1);
    }
    return Buffer.concat([
      Buffer.from("89504e470d0a1a0a", "hex"),
      chunk("IHDR", header),
      chunk("IDAT", deflateSync(lines)),
      chunk("IEND", Buffer.alloc(0)),
    ]);
  }
}

/** Pixels from the left and the top; right and bottom are the first that do not belong to it. */
export interface Part {
  readonly left?: number;
  readonly top?: number;
  readonly right?: number;
  readonly bottom?: number;
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const bytes = Buffer.alloc(body.length + 8);
  bytes.writeUInt32BE(data.length, 0);
  body.copy(bytes, 4);
  bytes.writeUInt32BE(crc32(body), body.length + 4);
  return bytes;
}

export class Screen {
  private constructor(
    /** DISPLAY. */
    readonly display: string,
    private readonly server: Bun.Subprocess,
    private readonly folder: string,
  ) {}

  /** @param size such as 1024x768 */
  static async start(size: string): Promise<Screen> {
    const folder = await mkdtemp(join(tmpdir(), "p7-screen-"));
    const server = Bun.spawn(
      [
        ...["setpriv", "--pdeathsig=KILL", "Xvfb", "-displayfd", "1", "-nolisten", "tcp"],
        ...["-screen", "0", `${size}x24`, "-fbdir", folder],
      ],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    const { value } = await server.stdout.getReader().read();
    const number = new TextDecoder().decode(value).trim();
    if (number === "") {
      await rm(folder, { recursive: true });
      throw new Error(`Xvfb ended with status ${await server.exited}`);
    }
    return new Screen(`:${number}`, server, folder);
  }

  /** Presses keys one after the other, by xdotool's names: alt+n, Tab. */
  async press(...keys: string[]): Promise<void> {
    await this.tool("key", ...keys);
  }

  async type(text: string): Promise<void> {
    await this.tool("type", text);
  }

  async click(x: number, y: number): Promise<void> {
    await this.tool("mousemove", `${x}`, `${y}`, "click", "1");
  }

  /** The titles of the windows that are to be seen, but for Openbox' own. */
  async windows(): Promise<string[]> {
    // A window that goes meanwhile has no title any more, and is left out.
    const titles = (await this.search()).split("\n").filter(Boolean);
    const named = titles.map((id) => this.tool("getwindowname", id).catch(() => ""));
    const all = (await Promise.all(named)).map((title) => title.trim());
    return all.filter((title) => title !== "" && title !== "Openbox");
  }

  /** Looks for windows again where one of them has gone while it was looked at. */
  private async search(): Promise<string> {
    for (;;) {
      try {
        return await this.tool("search", "--onlyvisible", "--name", "");
      } catch (error) {
        if (!String(error).includes("BadWindow")) throw error;
      }
    }
  }

  private async tool(...words: string[]): Promise<string> {
    const env = { PATH: process.env.PATH, DISPLAY: this.display };
    return (await $({ quiet: true, env })`xdotool ${words}`).stdout;
  }

  /** What it shows: Xvfb keeps it in a file of the format of xwd(1), XWDFile.h version 7. */
  async picture(): Promise<Picture> {
    const file = await readFile(join(this.folder, "Xvfb_screen0"));
    const field = (at: number) => file.readUInt32BE(at * 4);
    const [width, height, line] = [field(4), field(5), field(12)];
    const start = field(0) + field(19) * 12;
    const pixels = new Uint8Array(width * height * 3);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const from = start + y * line + x * 4;
        const to = (y * width + x) * 3;
        // The bytes of a pixel lie blue, green, red, nothing.
        for (const part of [0, 1, 2]) pixels[to + part] = file[from + 2 - part] ?? 0;
      }
    }
    return new Picture(width, height, pixels);
  }

  async stop(): Promise<void> {
    this.server.kill();
    await this.server.exited;
    await rm(this.folder, { recursive: true, force: true });
  }
}
