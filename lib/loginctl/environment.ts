/** What the environment says of the terminal. */
import { parseBoolean } from "../cli/index.ts";

/** Whether UTF-8 can be shown: not where somebody has chosen another locale than one of UTF-8. */
function readsUtf8(): boolean {
  const { SYSTEMD_UTF8, LC_ALL, LC_CTYPE, LANG } = process.env;
  const locale = LC_ALL || LC_CTYPE || LANG || "";
  const [, codeset = "utf8"] = /\.([^@]*)/.exec(locale) ?? [];
  return (
    parseBoolean(SYSTEMD_UTF8) ?? (!["C", "POSIX"].includes(locale) && /^utf-?8$/i.test(codeset))
  );
}

export const isUtf8 = readsUtf8();

/** What trees are drawn with. */
export const TREE = isUtf8
  ? { branch: "├─", corner: "└─", vertical: "│ ", space: "  " }
  : { branch: "|-", corner: "`-", vertical: "| ", space: "  " };
