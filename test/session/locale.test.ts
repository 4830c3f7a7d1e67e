import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { localeVariables } from "../../lib/session/locale.ts";
import { cleanUp, folder } from "./support.ts";

cleanUp();

function written(text: string): string {
  const file = join(folder(), "locale.conf");
  writeFileSync(file, text);
  return file;
}

test("locale.conf's variables, with quotes and without", () => {
  const text = `# Austria
LANG=de_AT.UTF-8
 LC_TIME="en_DK.UTF-8"
LC_MESSAGES='C'
LANGUAGE=de:en
`;
  expect(localeVariables(written(text))).toEqual({
    LANG: "de_AT.UTF-8",
    LC_TIME: "en_DK.UTF-8",
    LC_MESSAGES: "C",
    LANGUAGE: "de:en",
  });
});

test("what is no locale is left out", () => {
  const text = `PATH=/tmp\nLD_PRELOAD=x.so\nLANG=\nLC_ALL=$(id)\nLC_TIME=a b\nLC_CTYPE\nlang=de\n`;
  expect(localeVariables(written(text))).toEqual({});
});

test("no file is no locale, and one that cannot be read is an error", () => {
  expect(localeVariables(join(folder(), "locale.conf"))).toEqual({});
  const file = join(folder(), "locale.conf");
  mkdirSync(file);
  expect(() => localeVariables(file)).toThrow("EISDIR");
});
