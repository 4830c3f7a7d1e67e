/** The logo, the wallpaper and the boot menus' backgrounds, as SVG. */
import { drawText, round } from "./letters.ts";
import { PALETTE } from "./palette.ts";

/** The logo in a square of 256: an open ring, a second one in it, and the wire that comes in. */
function emblem(): string {
  const ring = (radius: number, colour: string, width: number, from: number, to: number) => {
    const point = (degrees: number) => {
      const angle = (degrees * Math.PI) / 180;
      return `${round(128 + radius * Math.cos(angle))} ${round(128 + radius * Math.sin(angle))}`;
    };
    const large = to - from > 180 ? 1 : 0;
    return `<path d="M${point(from)}A${radius} ${radius} 0 ${large} 1 ${point(to)}" stroke="${colour}" stroke-width="${width}"/>`;
  };
  return (
    `<g fill="none" stroke-linecap="round">${ring(100, PALETTE.text, 12, 62, 388)}` +
    `${ring(64, PALETTE.quiet, 8, -118, 190)}` +
    `<path d="M128 128L207 207" stroke="${PALETTE.accent}" stroke-width="12"/></g>` +
    `<circle cx="128" cy="128" r="20" fill="${PALETTE.accent}"/>` +
    `<circle cx="215" cy="215" r="14" fill="${PALETTE.background}" stroke="${PALETTE.accent}" stroke-width="10"/>`
  );
}

function placedEmblem(x: number, y: number, size: number): string {
  return `<g transform="translate(${round(x)} ${round(y)}) scale(${round(size / 256)})">${emblem()}</g>`;
}

function svg(title: string, width: number, height: number, ...parts: string[]): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n` +
    `<title>${title}</title>\n` +
    `${parts.join("\n")}\n</svg>\n`
  );
}

function ground(width: number, height: number): string {
  return `<rect width="${width}" height="${height}" fill="${PALETTE.background}"/>`;
}

/** The logo on nothing, 256 by 256. */
export function logo(): string {
  return svg("LainOS", 256, 256, emblem());
}

/** How far from its end a wire stops in a node, by its place in the bundle; 0 for one that leaves. */
const STOPS = [0, 210, 0, 0, 330, 0, 120, 0, 0, 260, 0, 0, 160, 0, 390, 0, 0];

/** Wires that come together from both sides at (x, y), in a picture of this width. */
function wires(width: number, x: number, y: number, apart: number, bundled: number): string {
  const half = (STOPS.length - 1) / 2;
  const paths: string[] = [];
  const nodes: string[] = [];
  for (const side of [-1, 1]) {
    for (const [at, stop] of STOPS.entries()) {
      // The other side mirrored both ways, so that a wire does not look the same on both.
      const place = (at - half) * side;
      const near = y + place * bundled;
      const far = y + place * apart;
      const bend = x + side * (apart * 4.2);
      const end = (side < 0 ? 0 : width) - side * stop * (width / 1920);
      const marked = side > 0 && place === -3;
      const colour = marked ? PALETTE.accent : PALETTE.raised;
      // 45 degrees: as far along as across.
      const across = bend + side * Math.abs(far - near);
      paths.push(
        `<path d="M${x} ${round(near)}H${round(bend)}L${round(across)} ${round(far)}H${round(end)}" stroke="${colour}"/>`,
      );
      if (stop > 0) {
        nodes.push(
          `<circle cx="${round(end)}" cy="${round(far)}" r="5" fill="${PALETTE.background}" stroke="${colour}"/>`,
        );
      }
    }
  }
  // What is marked lies over the others.
  const order = (part: string) => Number(part.includes(PALETTE.accent));
  const drawn = [...paths, ...nodes].sort((one, other) => order(one) - order(other));
  return `<g fill="none" stroke-width="2" stroke-linejoin="round">${drawn.join("\n")}</g>`;
}

/** The wallpaper, 1920 by 1080. */
export function wallpaper(): string {
  const [x, y] = [960, 470];
  return svg(
    "LainOS layer 02: wires that meet",
    1920,
    1080,
    ground(1920, 1080),
    wires(1920, x, y, 46, 12),
    `<circle cx="${x}" cy="${y}" r="150" fill="${PALETTE.background}"/>`,
    placedEmblem(x - 110, y - 110, 220),
    drawText("LainOS", { x, y: 760, size: 56, colour: PALETTE.text, centred: true }),
    drawText("layer 02", { x, y: 812, size: 20, colour: PALETTE.quiet, centred: true }),
  );
}

/** The background of syslinux's menu, 640 by 480: its upper third is free, the menu is below. */
export function splashBios(): string {
  return svg(
    "LainOS, behind a menu",
    640,
    480,
    ground(640, 480),
    wires(640, 320, 74, 18, 5),
    `<circle cx="320" cy="74" r="56" fill="${PALETTE.background}"/>`,
    placedEmblem(278, 32, 84),
    `<rect y="126" width="640" height="354" fill="${PALETTE.background}"/>`,
    drawText("LainOS", { x: 320, y: 152, size: 20, colour: PALETTE.text, centred: true }),
  );
}

/** The background of GRUB's menu, 1024 by 768: its entries are at the top, so the mark is below. */
export function splashUefi(): string {
  return svg(
    "LainOS layer 02, behind a menu",
    1024,
    768,
    ground(1024, 768),
    placedEmblem(708, 536, 96),
    drawText("LainOS", { x: 828, y: 592, size: 28, colour: PALETTE.text }),
    drawText("layer 02", { x: 829, y: 622, size: 12, colour: PALETTE.quiet }),
  );
}

/** The picture of the installer's first page, 720 by 240: its sides go over into the window's colour. */
export function installerWelcome(): string {
  const [x, y] = [360, 88];
  const fade = (name: string, from: number, to: number) =>
    `<linearGradient id="${name}"><stop stop-color="${PALETTE.background}" stop-opacity="${from}"/>` +
    `<stop offset="1" stop-color="${PALETTE.background}" stop-opacity="${to}"/></linearGradient>`;
  return svg(
    "LainOS layer 02, to be installed",
    720,
    240,
    `<defs>${fade("left", 1, 0)}${fade("right", 0, 1)}</defs>`,
    ground(720, 240),
    wires(720, x, y, 9.5, 5),
    `<circle cx="${x}" cy="${y}" r="66" fill="${PALETTE.background}"/>`,
    `<rect width="160" height="240" fill="url(#left)"/>`,
    `<rect x="560" width="160" height="240" fill="url(#right)"/>`,
    placedEmblem(x - 48, y - 48, 96),
    drawText("LainOS", { x, y: 206, size: 24, colour: PALETTE.text, centred: true }),
    drawText("layer 02", { x, y: 231, size: 10, colour: PALETTE.quiet, centred: true }),
  );
}
