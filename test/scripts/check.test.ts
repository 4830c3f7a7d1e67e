import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import {
  circles,
  importProblem,
  importsOf,
  partOf,
  shellDialect,
  usesBunShell,
} from "../../scripts/check.ts";
import { LAYERS } from "../../scripts/layers.ts";

const ROOT = resolve(import.meta.dir, "../..");

describe("the direction of imports", () => {
  test.each([
    ["cmd/notifyd.ts", "lib/notify/index.ts"],
    ["cmd/protocol7.ts", "lib/cli/index.ts"],
    ["cmd/protocol7.ts", "cmd/notifyd.ts"],
    ["lib/login1/session.ts", "lib/dbus/index.ts"],
    ["lib/login1/session.ts", "lib/linux/index.ts"],
    ["lib/login1/session.ts", "lib/cli/index.ts"],
    ["lib/login1/sessions/manager.ts", "lib/login1/model/objects.ts"],
    ["lib/login1/dbus/objects.ts", "lib/login1/login1.ts"],
    ["lib/login1/index.ts", "lib/login1/bridge.ts"],
    ["lib/dbus/bus.ts", "lib/linux/index.ts"],
    ["lib/login1/varlink.ts", "lib/varlink/index.ts"],
    ["lib/varlink/server.ts", "lib/linux/index.ts"],
    ["lib/cli/version.ts", "package.json"],
    ["scripts/repo/main.ts", "lib/linux/mount.ts"],
    ["test/bus/all.test.ts", "scripts/build.ts"],
    ["test/bus/all.test.ts", "bench/peer.ts"],
    ["testbed/live/main.ts", "scripts/build.ts"],
    ["testbed/live/main.ts", "lib/linux/mount.ts"],
    ["bench/boot.ts", "testbed/boot/index.ts"],
    ["bench/peer.ts", "test/login1/world.ts"],
  ])("%s may import %s", (from, to) => {
    expect(importProblem(from, to)).toBeUndefined();
  });

  test.each([
    ["lib/login1/session.ts", "cmd/dbus-bridge.ts"],
    ["lib/login1/session.ts", "lib/notify/index.ts"],
    ["lib/login1/session.ts", "scripts/build.ts"],
    ["lib/login1/session.ts", "lib/linux/mount.ts"],
    ["lib/linux/mount.ts", "lib/dbus/index.ts"],
    ["lib/linux/mount.ts", "lib/cli/index.ts"],
    ["lib/dbus/bus.ts", "lib/cli/index.ts"],
    ["lib/dbus/bus.ts", "lib/login1/index.ts"],
    ["lib/varlink/server.ts", "lib/dbus/index.ts"],
    ["lib/varlink/server.ts", "lib/login1/index.ts"],
    ["lib/login1/model/objects.ts", "lib/login1/sessions/manager.ts"],
    ["lib/login1/seats/foreground.ts", "lib/login1/inhibitors/inhibitors.ts"],
    ["lib/login1/login1.ts", "lib/login1/dbus/objects.ts"],
    ["lib/login1/sessions/manager.ts", "lib/login1/new-folder/file.ts"],
    ["cmd/notifyd.ts", "lib/notify/parse.ts"],
    ["cmd/notifyd.ts", "scripts/build.ts"],
    ...["testbed/live/index.ts", "test/login1/world.ts", "bench/peer.ts"].flatMap((tool) => [
      ["cmd/notifyd.ts", tool],
      ["lib/login1/index.ts", tool],
      ["scripts/iso/debian.ts", tool],
    ]),
    ["testbed/live/index.ts", "test/login1/world.ts"],
    ["testbed/live/index.ts", "bench/peer.ts"],
  ])("%s may not import %s", (from, to) => {
    expect(importProblem(from, to)).toBeString();
  });

  test("a nested package counts to the folder it is in", () => {
    expect(partOf("lib/login1/dbus/user.ts")).toBe("lib/login1");
    expect(importProblem("lib/login1/dbus/user.ts", "lib/dbus/index.ts")).toBeUndefined();
  });
});

describe("the pictures of the folders", () => {
  const textOf = (domain: string) => readFileSync(join(ROOT, domain, "README.md"), "utf8");

  test.each(["lib/login1", "lib/notify"])(
    "the one of %s has its rows, the highest first",
    (domain) => {
      const picture = /```\n([\s\S]*?)```/.exec(textOf(domain))?.[1] ?? "";
      const rows = picture.trimEnd().split("\n");
      const names = rows.map((row) => (row.split(/ {2,}/, 1)[0] ?? "").split(" "));
      expect(names.toReversed()).toEqual((LAYERS[domain] ?? []).map((row) => [...row].sort()));
    },
  );

  test.each(["lib/linux", "lib/dbus"])(
    "the one of %s has its folders, the lowest first",
    (domain) => {
      const names = [...textOf(domain).matchAll(/^\| `(\w+)\/`/gm)].map(([, name]) => name);
      expect([...names, "index"]).toEqual((LAYERS[domain] ?? []).flat());
    },
  );

  test.each(Object.keys(LAYERS))("%s has no folder or file besides", (domain) => {
    const names = readdirSync(join(ROOT, domain)).map((name) => name.replace(/\.ts$/, ""));
    expect(names.filter((name) => name !== "README.md").sort()).toEqual(
      (LAYERS[domain] ?? []).flat().sort(),
    );
  });
});

test("every file that the code map names is there", () => {
  const map = readFileSync(join(ROOT, "docs/code-map.md"), "utf8");
  const named = [...map.matchAll(/`([\w/.-]+\/[\w.-]*)`/g)].map(([, path = ""]) => path);
  expect(named.length).toBeGreaterThan(30);
  // Below lib/login1 the map says only the folder.
  const missing = named.filter((path) => {
    return ![path, join("lib/login1", path), join("lib/notify", path), join("lib/dbus", path)].some(
      (each) => existsSync(join(ROOT, each)) || existsSync(join(ROOT, "lib/linux", path)),
    );
  });
  expect(missing).toEqual([]);
});

describe("what a file imports", () => {
  test("types count for the direction, but are not loaded", () => {
    const source = `
      import type { A } from "../linux/index.ts";
      import { b } from "./b.ts";
      export type { C } from "./c.ts";
      export type E = string;
      const d = () => import("./d.ts");
      import { readFile } from "node:fs/promises";
      import citty from "citty";
      export const x: A = [b, d, readFile, citty];
    `;
    const found = importsOf("lib/dbus/a.ts", source);
    expect(found.loaded.toSorted()).toEqual(["lib/dbus/b.ts", "lib/dbus/d.ts"]);
    expect(found.all.toSorted()).toEqual([
      "lib/dbus/b.ts",
      "lib/dbus/c.ts",
      "lib/dbus/d.ts",
      "lib/linux/index.ts",
    ]);
  });
});

describe("circles", () => {
  test("none in a tree or a diamond", () => {
    const graph = new Map([
      ["a", ["b", "c"]],
      ["b", ["d"]],
      ["c", ["d"]],
      ["d", []],
    ]);
    expect(circles(graph)).toEqual([]);
  });

  test("one is told along its whole length, once", () => {
    const graph = new Map([
      ["start", ["a"]],
      ["a", ["b"]],
      ["b", ["c", "leaf"]],
      ["c", ["a"]],
    ]);
    expect(circles(graph)).toEqual([["a", "b", "c", "a"]]);
  });

  test("a file that imports itself is one", () => {
    expect(circles(new Map([["a", ["a"]]]))).toEqual([["a", "a"]]);
  });
});

describe("shell scripts are found", () => {
  test.each([
    ["openrc/init.d/dbus", "#!/sbin/openrc-run", "sh"],
    ["openrc/conf.d/dbus", "# settings", "sh"],
    ["files/usr/libexec/lainos/pam-session", "#!/bin/sh", "sh"],
    ["files/etc/profile.d/lainos-session.sh", "# no shebang", "sh"],
    ["PKGBUILD", "# a package", "bash"],
    ["packages/eudev/PKGBUILD", "", "bash"],
    ["protocol7-core.install", "", "sh"],
    ["scripts/x", "#!/usr/bin/env bash", "bash"],
  ] as const)("%s (%s) is %s", (path, firstLine, dialect) => {
    expect(shellDialect(path, firstLine)).toBe(dialect);
  });

  test.each([
    ["scripts/x", "#!/usr/bin/env bun"],
    ["README.md", "# sh"],
    ["lib/cli/run.ts", "/** bash */"],
  ])("%s (%s) is none", (path, firstLine) => {
    expect(shellDialect(path, firstLine)).toBeUndefined();
  });
});

describe("Bun's shell", () => {
  const shell = "B" + "un.$";
  test.each([
    [`import { $ } from "bun";`],
    [`import { type Server, $, which } from 'bun';`],
    [`import {\n  $ as run,\n} from "bun";`],
    [`await ${shell}\`rm -rf x\`;`],
  ])("is found in %p", (text) => {
    expect(usesBunShell(text)).toBe(true);
  });

  test.each([
    [`import { $ } from "zx";\nimport { which } from "bun";`],
    [`import { which } from "bun";\nimport { $ } from "zx";`],
    ["Bun.spawn(['rm', `$` + name]);"],
  ])("is not in %p", (text) => {
    expect(usesBunShell(text)).toBe(false);
  });

  test("has an rm that is not the system's", async () => {
    const folder = mkdtempSync(join(tmpdir(), "p7-shell-"));
    const { exitCode } = await Bun.$`rm -rf --one-file-system -- ${folder}`.nothrow().quiet();
    expect({ exitCode, there: existsSync(folder) }).toEqual({ exitCode: 1, there: true });
    rmSync(folder, { recursive: true });
  });
});
