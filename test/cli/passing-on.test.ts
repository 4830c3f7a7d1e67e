import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const library = join(import.meta.dir, "../../lib/cli/index.ts");

/** Runs a command that takes a word, has a subcommand, and passes on what follows "--". */
async function runCommand(...args: string[]) {
  const script = `
    import { PASSED_ON, run } from ${JSON.stringify(library)};
    const say = (what) => console.log(JSON.stringify(what));
    await run({
      meta: { name: "sample", description: "A sample" },
      args: {
        word: { type: "positional", required: false },
        loud: { type: "boolean", default: true },
        [PASSED_ON]: { type: "positional", required: false, description: "passed on" },
      },
      subCommands: {
        sub: { meta: { name: "sub" }, run: () => say("sub") },
      },
      run: ({ args, data }) => say({ word: args.word, loud: args.loud, data }),
    }, ${JSON.stringify(args)});`;
  const child = Bun.spawn([process.execPath, "-e", script], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, status] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { out, err, status };
}

describe("a command with subcommands that also runs by itself", () => {
  test("takes a word that names no subcommand as its argument", async () => {
    const { out, status } = await runCommand("sway");
    expect(JSON.parse(out)).toEqual({ word: "sway", loud: true, data: [] });
    expect(status).toBe(0);
  });

  test("runs the subcommand alone where one is named", async () => {
    expect((await runCommand("sub")).out).toBe('"sub"\n');
  });

  test("does not take the name of an object's own method for a subcommand", async () => {
    expect(JSON.parse((await runCommand("constructor")).out).word).toBe("constructor");
  });

  test("passes on what follows -- untouched", async () => {
    const { out } = await runCommand("sway", "--no-loud", "--", "--unknown", "--help", "--", "x");
    expect(JSON.parse(out)).toEqual({
      word: "sway",
      loud: false,
      data: ["--unknown", "--help", "--", "x"],
    });
    expect(JSON.parse((await runCommand("--", "sub")).out)).toEqual({ loud: true, data: ["sub"] });
  });

  test("refuses what it does not know before --", async () => {
    const extra = await runCommand("sway", "openbox", "--", "x");
    expect(extra.status).toBe(2);
    expect(extra.err).toContain("openbox is one argument too many");
    const option = await runCommand("--quiet", "--", "x");
    expect(option.status).toBe(2);
    expect(option.err).toContain("there is no option --quiet");
  });
});
