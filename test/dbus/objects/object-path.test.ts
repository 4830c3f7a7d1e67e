import { expect, test } from "bun:test";
import { escapeLabel, unescapeLabel } from "../../../lib/dbus/objects/object-path.ts";

test("labels escape and unescape", () => {
  const pairs = { "1": "_31", c1: "c1", "1000": "_31000", seat0: "seat0", "": "_", "a-b": "a_2db" };
  for (const [text, label] of Object.entries(pairs)) {
    expect(escapeLabel(text)).toBe(label);
    expect(unescapeLabel(label)).toBe(text);
  }
  expect(unescapeLabel("a/b")).toBeUndefined();
  expect(unescapeLabel("_3")).toBeUndefined();
});
