/** The table of what each daemon may still do, and its place in the page. */
import { expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatRestrictions, writeRestrictions } from "../../testbed/live/restrictions.ts";

const FOUND = [
  { daemon: "one", rows: { User: "root", Landlock: "version 7" } },
  { daemon: "another", rows: { User: "nobody", Landlock: "no" } },
];

const TABLE = `|          | one       | another |
| -------- | --------- | ------- |
| User     | root      | nobody  |
| Landlock | version 7 | no      |`;

test("the table has a line for each restriction and a column for each daemon", () => {
  expect(formatRestrictions(FOUND)).toBe(TABLE);
});

test("the page gets the table between its marks, as often as it is made", async () => {
  const folder = await mkdtemp(join(tmpdir(), "p7-restrictions-"));
  try {
    const page = join(folder, "page.md");
    const marks = [
      "<!-- restrictions: made by `bun run live restrictions --write` -->",
      "<!-- restrictions: end -->",
    ];
    await writeFile(page, `before\n\n${marks.join("\n")}\n\nafter\n`);
    for (let time = 0; time < 2; time++) {
      await writeRestrictions(TABLE, page);
      expect(await readFile(page, "utf8")).toBe(
        `before\n\n${marks[0]}\n\n${TABLE}\n\n${marks[1]}\n\nafter\n`,
      );
    }
    await writeFile(page, "no marks\n");
    await expect(writeRestrictions(TABLE, page)).rejects.toThrow("has no <!-- restrictions");
    expect(await readFile(page, "utf8")).toBe("no marks\n");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("docs/sandbox.md has the table", async () => {
  const text = await readFile(join(import.meta.dir, "../../docs/sandbox.md"), "utf8");
  const [, table = ""] = text.split(/<!-- restrictions: [^>]*-->/);
  for (const daemon of ["dbus-bridge", "notifyd", "ghost-units", "net-init"]) {
    expect(table).toContain(` ${daemon} `);
  }
  expect(table).toMatch(/^\| Filter of system calls +(\| yes +){4}\|$/m);
});
