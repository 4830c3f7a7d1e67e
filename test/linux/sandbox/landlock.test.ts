/** Landlock by the kernel, in a process of its own: it restricts itself and is executed again. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { landlockVersion } from "../../../lib/linux/index.ts";

const LIBRARY = resolve(import.meta.dir, "../../../lib/linux/index.ts");

/** What it tries: for each the errno's name, or "done". */
const PROGRAM = `
import * as fs from "node:fs";
import * as net from "node:net";
const [library, allowed, other, signals, stage, ppid, abstract] = process.argv.slice(2);
if (stage === "first") {
  const { execute, landlockVersion, restrictThread } = await import(library);
  const all = ["execute", "readFile", "readFolder"];
  const write = [...all, "writeFile", "truncate", "makeFile", "makeFolder", "makeSocket", "makeFifo",
    "makeSymlink", "removeFile", "removeFolder", "refer"];
  const policy = { paths: [["/", all], [allowed, write], ["/dev/null", ["readFile", "writeFile"]],
    ["/nothing/there", write]], signals: signals === "yes" };
  const given = fs.openSync("/dev/null", "r");
  restrictThread(policy, landlockVersion());
  const words = [process.execPath, ...process.argv.slice(1)];
  words[words.indexOf("first")] = "second";
  execute(process.execPath, words, { PATH: process.env.PATH, PASSED_ON: "yes", FD: String(given) }, { kept: [given] });
}
const attempts = {
  write: () => fs.writeFileSync(allowed + "/file", "text"),
  append: () => fs.appendFileSync(allowed + "/file", "text"),
  folder: () => fs.mkdirSync(allowed + "/folder"),
  rename: () => fs.renameSync(allowed + "/file", allowed + "/folder/file"),
  remove: () => fs.rmSync(allowed + "/folder", { recursive: true }),
  read: () => fs.readFileSync(other + "/file"),
  "write elsewhere": () => fs.writeFileSync(other + "/file", "text"),
  "truncate elsewhere": () => fs.truncateSync(other + "/file"),
  "make elsewhere": () => fs.writeFileSync(other + "/new", "text"),
  "folder elsewhere": () => fs.mkdirSync(other + "/folder"),
  "remove elsewhere": () => fs.unlinkSync(other + "/file"),
  "link elsewhere": () => fs.symlinkSync("x", other + "/link"),
  "by a link": () => fs.writeFileSync(allowed + "/way-out", "text"),
  "move elsewhere": () => { fs.writeFileSync(allowed + "/moved", ""); fs.renameSync(allowed + "/moved", other + "/moved"); },
  null: () => fs.writeFileSync("/dev/null", "text"),
  signal: () => process.kill(Number(ppid), 0),
  "own signal": () => process.kill(process.pid, 0),
};
const found = { PASSED_ON: process.env.PASSED_ON };
attempts["a descriptor"] = () => fs.fstatSync(Number(process.env.FD ?? 0));
for (const [name, attempt] of Object.entries(attempts)) {
  try { attempt(); found[name] = "done"; } catch (error) { found[name] = error.code; }
}
const connect = (options) => new Promise((done) => {
  const socket = net.connect(options, () => { done("done"); socket.destroy(); });
  socket.on("error", (error) => done(error.code));
});
found.abstract = await connect({ path: "\\0" + abstract });
found.tcp = await connect({ host: "127.0.0.1", port: 9 });
console.log(JSON.stringify(found));
process.exit(0);
`;

/** Bun's word for whatever keeps a socket of this kind from being connected. */
const REFUSED = "ECONNREFUSED";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "p7-landlock-"));
  writeFileSync(join(folder, "program.ts"), PROGRAM);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function attempt(signals: "yes" | "no", stage: "first" | "second") {
  const name = `p7-landlock-${process.pid}-${signals}-${stage}`;
  const place = mkdtempSync(join(folder, "place-"));
  for (const name of ["allowed", "other"]) mkdirSync(join(place, name));
  writeFileSync(join(place, "other/file"), "text");
  symlinkSync("../other/file", join(place, "allowed/way-out"));
  const listener = Bun.listen({ unix: `\0${name}`, socket: { data() {} } });
  try {
    const child = Bun.spawn(
      [
        ...["setpriv", "--no-new-privs", process.execPath, join(folder, "program.ts"), LIBRARY],
        ...[join(place, "allowed"), join(place, "other"), signals, stage],
        ...[String(process.pid), name],
      ],
      { stdout: "pipe", stderr: "pipe" },
    );
    const [text, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    if ((await child.exited) !== 0) throw new Error(errors);
    return JSON.parse(text) as Record<string, string>;
  } finally {
    listener.stop(true);
  }
}

const version = landlockVersion();

describe.skipIf(version < 6)("a process that restricts itself and executes itself again", () => {
  test("keeps its environment, what it was given, and nothing else", async () => {
    expect(await attempt("no", "first")).toEqual({
      ...{ PASSED_ON: "yes", write: "done", append: "done", folder: "done", rename: "done" },
      ...{
        remove: "done",
        read: "done",
        null: "done",
        "own signal": "done",
        "a descriptor": "done",
      },
      ...{ "write elsewhere": "EACCES", "truncate elsewhere": "EACCES" },
      ...{ "make elsewhere": "EACCES", "folder elsewhere": "EACCES" },
      ...{ "remove elsewhere": "EACCES", "link elsewhere": "EACCES", "by a link": "EACCES" },
      ...{ "move elsewhere": "EACCES", signal: "EPERM", abstract: REFUSED, tcp: "EACCES" },
    });
  });

  test("may signal others if that is allowed", async () => {
    expect(await attempt("yes", "first")).toMatchObject({ signal: "done", abstract: REFUSED });
  });

  test("without it all of that succeeds", async () => {
    const { tcp, ...others } = await attempt("no", "second");
    expect(tcp).toBe("ECONNREFUSED");
    expect(Object.values(others).filter((outcome) => outcome !== "done")).toEqual([]);
  });
});
