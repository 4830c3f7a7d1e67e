/** The few letters of the wordmark as strokes, so that no font is needed to draw it. */

interface Letter {
  /** SVG path data: the baseline is 0, a small letter is 7 high and a capital 10. */
  readonly path: string;
  readonly width: number;
}

const LETTERS: Readonly<Record<string, Letter>> = {
  L: { path: "M0-10V0H5.4", width: 5 },
  O: { path: "M0-5A5 5 0 1 1 10-5A5 5 0 1 1 0-5Z", width: 10 },
  S: {
    path: "M7-8.4A3.2 2.6 0 0 0 4.3-10H2.7A2.5 2.5 0 0 0 2.7-5H4.5A2.5 2.5 0 0 1 4.5 0H2.7A3.2 2.6 0 0 1 0-1.6",
    width: 7,
  },
  a: { path: "M7-3.5A3.5 3.5 0 1 1 0-3.5A3.5 3.5 0 1 1 7-3.5ZM7-7V0", width: 7 },
  e: { path: "M0-3.5H7A3.5 3.5 0 1 0 5.9-1", width: 7 },
  i: { path: "M0-7V0M0-10V-9.9", width: 0 },
  l: { path: "M0-10V0", width: 0 },
  n: { path: "M0 0V-7M0-3.5A3.5 3.5 0 0 1 7-3.5V0", width: 7 },
  r: { path: "M0 0V-7M0-3.5A3.5 3.5 0 0 1 3.5-7H4.2", width: 4 },
  y: { path: "M0-7V-3.5A3.5 3.5 0 0 0 7-3.5V-7M7-3.5V0A3.5 3.5 0 0 1 1 2.4", width: 7 },
  0: { path: "M0-7V-3A3 3 0 0 0 6-3V-7A3 3 0 0 0 0-7ZM3-5.2V-4.8", width: 6 },
  2: { path: "M0-7A3 3 0 1 1 5.2-5L0 0H6", width: 6 },
  " ": { path: "", width: 4 },
};

/** Between two letters. */
const GAP = 3.2;

/** How wide a text is, in units of its letters. */
function widthOf(text: string): number {
  return [...text].reduce((sum, letter) => sum + letterOf(letter).width + GAP, -GAP);
}

function letterOf(letter: string): Letter {
  const found = LETTERS[letter];
  if (!found) throw new Error(`there is no letter ${letter} in letters.ts`);
  return found;
}

/**
 * A text drawn in strokes.
 * @param size the height of a capital
 * @param x where it starts, or its middle where `centred`
 * @param y the baseline
 * @param weight the stroke's width, as a part of a capital's height
 */
export function drawText(
  text: string,
  { x, y, size, colour, weight = 0.12, centred = false }: TextStyle,
): string {
  const scale = size / 10;
  let at = 0;
  const letters = [...text].map((name) => {
    const { path, width } = letterOf(name);
    const placed = path && `<path d="${path}" transform="translate(${round(at)})"/>`;
    at += width + GAP;
    return placed;
  });
  const start = centred ? x - (widthOf(text) * scale) / 2 : x;
  return (
    `<g transform="translate(${round(start)} ${round(y)}) scale(${round(scale)})" fill="none" ` +
    `stroke="${colour}" stroke-width="${weight * 10}" stroke-linecap="round" stroke-linejoin="round">` +
    `${letters.join("")}</g>`
  );
}

export interface TextStyle {
  readonly x: number;
  readonly y: number;
  readonly size: number;
  readonly colour: string;
  readonly weight?: number;
  readonly centred?: boolean;
}

/** Two digits after the point are enough for a drawing, and the same on every machine. */
export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
