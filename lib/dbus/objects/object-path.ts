/** Object path labels as sd_bus_path_encode(3) makes them: every other character as _xx. */

/** Escapes any text into one element of an object path: "1" is "_31", "" is "_". */
export function escapeLabel(text: string): string {
  if (text === "") return "_";
  if (/^[A-Za-z][A-Za-z0-9]*$/.test(text)) return text;
  return [...Buffer.from(text, "utf8")]
    .map((byte, index) => {
      const character = String.fromCharCode(byte);
      const plain = /[A-Za-z]/.test(character) || (index > 0 && /[0-9]/.test(character));
      return plain ? character : `_${byte.toString(16).padStart(2, "0")}`;
    })
    .join("");
}

/** The text that `escapeLabel` made `label` from; undefined if it cannot have. */
export function unescapeLabel(label: string): string | undefined {
  if (label === "_") return "";
  if (!/^([A-Za-z0-9]|_[0-9a-fA-F]{2})+$/.test(label)) return undefined;
  const bytes = [...label.matchAll(/_([0-9a-fA-F]{2})|(.)/g)].map(([, hex, plain]) =>
    hex ? Number.parseInt(hex, 16) : (plain ?? "").charCodeAt(0),
  );
  return Buffer.from(bytes).toString("utf8");
}
