/** How much room a text takes on a terminal, where wide characters count twice. */
import { isUtf8 } from "./environment.ts";

export const widthOf = (text: string): number => Bun.stringWidth(text);

/** How wide the terminal is, in characters; $COLUMNS says otherwise. */
export function terminalWidth(): number {
  const chosen = Number(process.env.COLUMNS);
  return chosen > 0 ? chosen : process.stdout.columns || 80;
}

/** The text cut to a width, with an ellipsis for what `percent` of it is in front of. */
export function shorten(text: string, width: number | undefined, percent: number): string {
  if (width === undefined || widthOf(text) <= width) return text;
  const ellipsis = isUtf8 || /[^\0-\x7f]/.test(text) ? "…" : "...";
  const room = Math.max(width, 10) - ellipsis.length;
  if (widthOf(text) <= room + ellipsis.length) return text;
  const characters = [...text];
  const front = take(characters, Math.floor((room * percent) / 100));
  const back = take(characters.reverse(), room - widthOf(front));
  return `${front}${ellipsis}${[...back].reverse().join("")}`;
}

/** The text cut to a width exactly, however small: a cell of a table. */
export function ellipsize(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  const ellipsis = isUtf8 || /[^\0-\x7f]/.test(text) ? "…" : "...".slice(0, width);
  return take([...text], width - ellipsis.length) + ellipsis;
}

/** As many of the first characters as have room. */
function take(characters: readonly string[], room: number): string {
  let taken = "";
  let width = 0;
  for (const character of characters) {
    width += widthOf(character);
    if (width > room) break;
    taken += character;
  }
  return taken;
}
