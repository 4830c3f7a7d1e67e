/** yes, on, 1 and so on, as systemd reads a boolean; undefined for what is none. */
export function parseBoolean(text: string | undefined): boolean | undefined {
  if (/^(1|yes|y|true|t|on)$/i.test(text ?? "")) return true;
  if (/^(0|no|n|false|f|off)$/i.test(text ?? "")) return false;
  return undefined;
}
