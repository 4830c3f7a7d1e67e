/** The colours of the live system, each by what it is for. Every colour in the skel is one of these. */
export const PALETTE = {
  /** Behind everything. */
  background: "#14101a",
  /** Bars, menus, notifications. */
  panel: "#1d1724",
  /** What lies on a panel: a field, the border of a window without focus. */
  raised: "#2e2639",
  /** Text that may be passed over. */
  quiet: "#8b809d",
  text: "#d6cfe0",
  bright: "#f2eef7",
  /** The one colour that says: here. */
  accent: "#c678a8",
  red: "#d9667f",
  green: "#8fb88a",
  yellow: "#d8b26e",
  blue: "#7f8fd0",
  cyan: "#6fb3b8",
  brightRed: "#e58a9c",
  brightGreen: "#a9cfa4",
  brightYellow: "#e6c88f",
  brightBlue: "#a0add9",
  brightAccent: "#d99bc1",
  brightCyan: "#93cacd",
} as const;

/** A terminal's colours 0 to 15, by the order of ECMA-48. */
export const TERMINAL = [
  ...[PALETTE.panel, PALETTE.red, PALETTE.green, PALETTE.yellow],
  ...[PALETTE.blue, PALETTE.accent, PALETTE.cyan, PALETTE.text],
  ...[PALETTE.quiet, PALETTE.brightRed, PALETTE.brightGreen, PALETTE.brightYellow],
  ...[PALETTE.brightBlue, PALETTE.brightAccent, PALETTE.brightCyan, PALETTE.bright],
] as const;

/** The relative luminance of a colour written #rrggbb, 0 to 1 (WCAG 2.1). */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** How well one colour is read on another, 1 to 21; WCAG 2.1 asks for 4.5 for text. */
export function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}
