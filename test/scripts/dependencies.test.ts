/** What the executables are made of: the product may use the dependencies, and nothing of the tools'. */
import { expect, test } from "bun:test";
import { join, resolve } from "node:path";
import manifest from "../../package.json";

const ROOT = resolve(import.meta.dir, "../..");

/** The packages that a source names, types too, without files of the checkout and what Bun has. */
function packagesIn(source: string): string[] {
  const names = [...source.matchAll(/(?:\bfrom|\bimport\(?|\brequire\()\s*"([^".][^"]*)"/g)];
  return names
    .map(([, name = ""]) => /^(?:@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name)
    .filter((name) => !/^(node|bun):|^bun$/.test(name));
}

test("a package is found by any way of importing it", () => {
  const source = `import a, { b } from "one"; import "two/lib/x.js"; import type { C } from "@three/c/d";
    const d = await import("four"); require("five"); export * from "six"; import e from "node:fs";
    import f from "./seven.ts"; import g from "bun:ffi";`;
  expect(packagesIn(source)).toEqual(["one", "two", "@three/c", "four", "five", "six"]);
});

test("cmd/ and lib/ import the dependencies of package.json, and each of those is used", async () => {
  const used = new Map<string, string>();
  for (const path of new Bun.Glob("{cmd,lib}/**/*.ts").scanSync(ROOT)) {
    for (const name of packagesIn(await Bun.file(join(ROOT, path)).text())) used.set(name, path);
  }
  expect([...used.keys()].toSorted()).toEqual(Object.keys(manifest.dependencies).toSorted());
});
