import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IN_MOVED_TO, watchPath, writeFileAtomically } from "../../../lib/linux/index.ts";

const folders: string[] = [];
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-linux-"));
  folders.push(path);
  return path;
}
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true });
});

test("an atomic write is one IN_MOVED_TO, with the mode asked for", async () => {
  const where = folder();
  const names: string[] = [];
  const seen = Promise.withResolvers<void>();
  const end = watchPath(where, IN_MOVED_TO, (event) => {
    names.push(event.name);
    seen.resolve();
  });
  writeFileAtomically(join(where, "c1"), "UID=1000\n", 0o640);
  await seen.promise;
  end();
  expect(names).toEqual(["c1"]);
  expect(readFileSync(join(where, "c1"), "utf8")).toBe("UID=1000\n");
  expect(statSync(join(where, "c1")).mode & 0o777).toBe(0o640);
});

test("a failed write leaves nothing behind", () => {
  const where = join(folder(), "missing");
  expect(() => writeFileAtomically(join(where, "c1"), "x")).toThrow("ENOENT");
  expect(existsSync(where)).toBe(false);
});

const LIBRARY = join(import.meta.dir, "../../../lib/linux/index.ts");

/** Runs a program in a mount namespace of its own, where `where` is a tmpfs of 16 KiB. */
async function onSmallDisk(program: string): Promise<unknown> {
  const where = folder();
  const script = 'mount -t tmpfs -o size=16k tmpfs "$1"; exec "$2" -e "$3"';
  const source = `
    import * as fs from "node:fs";
    import { writeFileAtomically } from ${JSON.stringify(LIBRARY)};
    const where = ${JSON.stringify(where)};
    const path = where + "/state";
    const attempt = (work) => { try { work(); return "done"; } catch (error) { return String(error); } };
    writeFileAtomically(path, "GOOD=1\\n");
    ${program}`;
  const child = Bun.spawn(
    ["unshare", "--mount", "sh", "-euc", script, "sh", where, process.execPath, source],
    { stdout: "pipe", stderr: "pipe" },
  );
  const [out, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(errors);
  return JSON.parse(out);
}

test("what does not fit is an error and leaves the file before it, and nothing else", async () => {
  const found = await onSmallDisk(`
    const error = attempt(() => writeFileAtomically(path, "X".repeat(20_000)));
    console.log(JSON.stringify({ error, text: fs.readFileSync(path, "utf8"), names: fs.readdirSync(where) }));`);
  expect(found).toEqual({
    error: expect.stringContaining("ENOSPC"),
    text: "GOOD=1\n",
    names: ["state"],
  });
});

test("characters of several bytes are written whole", async () => {
  const found = await onSmallDisk(`
    writeFileAtomically(path, "für ✓ 🎹".repeat(300));
    console.log(JSON.stringify(fs.readFileSync(path, "utf8") === "für ✓ 🎹".repeat(300)));`);
  expect(found).toBe(true);
});

test("where nothing can be written, the error is what the write met first", async () => {
  const found = await onSmallDisk(`
    Bun.spawnSync(["mount", "-o", "remount,ro", where]);
    console.log(JSON.stringify(attempt(() => writeFileAtomically(path, "NEW=1\\n"))));`);
  expect(found).toMatch(/EROFS: read-only file system, open '.*\/\.#state/);
});
