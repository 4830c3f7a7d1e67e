/** What is read from PKGBUILDs and databases, and pacman's rules for it. */
import { expect, test } from "bun:test";
import { compareWithArch, fileConflicts } from "../../scripts/repo/check.ts";
import type { Entry } from "../../scripts/repo/database.ts";
import { inOrder, parseDependency, parseSrcinfo, satisfies } from "../../scripts/repo/recipe.ts";
import { packageName, repositoryOf } from "../../scripts/repo/repository.ts";
import { parseSource } from "../../scripts/repo/sources.ts";

const entry = (name: string, more: Partial<Entry> = {}): Entry => ({
  name,
  version: "1-1",
  base: name,
  filename: `${name}-1-1-any.pkg.tar.zst`,
  sha256: "",
  depends: [],
  provides: [],
  conflicts: [],
  files: [],
  ...more,
});

test("a PKGBUILD's words are read, also where they are for one architecture", () => {
  const text = `pkgbase = one
	pkgver = 2.0
	pkgrel = 3
	epoch = 1
	arch = x86_64
	depends = glibc
	depends_x86_64 = other>=2
	source = a::https://example.org/b.tar.gz

pkgname = one
`;
  const recipe = parseSrcinfo(text, "one", "/packages/one");
  expect(recipe.version).toBe("1:2.0-3");
  expect(recipe.depends).toEqual(["glibc", "other>=2"]);
  expect(recipe.packages).toEqual(["one"]);
  expect(recipe.install).toBeUndefined();
});

test("dependencies with versions follow pacman's rules", () => {
  const ok = (wanted: string, version?: string) =>
    satisfies(parseDependency(wanted), "systemd", version);
  expect(ok("systemd")).toBe(true);
  expect(ok("systemd>=255", "999-1")).toBe(true);
  expect(ok("systemd<300", "999-1")).toBe(false);
  expect(ok("systemd=999", "999-1")).toBe(true);
  expect(ok("systemd=999-2", "999-1")).toBe(false);
  expect(ok("systemd>1:1", "999-1")).toBe(false);
  // A provision without a version satisfies no dependency with one.
  expect(ok("systemd>=1")).toBe(false);
  expect(satisfies(parseDependency("other"), "systemd", "1-1")).toBe(false);
  expect(parseDependency("acpid: keys")).toEqual({ name: "acpid" });
});

test("each package comes after those that it needs, and a circle does not matter", () => {
  const recipe = (name: string, depends: string[], makedepends: string[] = []) =>
    parseSrcinfo(
      [`pkgname = ${name}`, ...depends.map((d) => `depends = ${d}`)]
        .concat(makedepends.map((d) => `makedepends = ${d}`))
        .join("\n"),
      name,
      "",
    );
  const set = [
    recipe("a", ["b"]),
    recipe("b", ["c>=1"]),
    recipe("c", ["a"], ["d"]),
    recipe("d", []),
  ];
  expect(inOrder(set).map(({ name }) => name)).toEqual(["d", "c", "b", "a"]);
});

test("a source is local or has a URL and a name of its own", () => {
  expect(parseSource("udev.initd")).toEqual({ file: "udev.initd", url: undefined });
  expect(parseSource("a.tar.gz::https://x.org/v1.tar.gz")).toEqual({
    file: "a.tar.gz",
    url: "https://x.org/v1.tar.gz",
  });
  expect(parseSource("git+https://x.org/y.git#tag=1?signed").url).toStartWith("git+https:");
});

test("packages go to the repository that pacman.conf has them in", () => {
  expect(packageName("/x/lainos-calamares-dracut-3.3-1-x86_64.pkg.tar.zst")).toBe(
    "lainos-calamares-dracut",
  );
  expect(repositoryOf("lainos-calamares-dracut")).toBe("lainos_repo");
  expect(repositoryOf("protocol7-core")).toBe("protocol_7_repo");
});

test("a file in two packages is found, unless they refuse each other", () => {
  const one = entry("one", { files: ["etc/a", "etc/b"] });
  const other = entry("other", { files: ["etc/b"] });
  expect(fileConflicts([one, other])).toEqual(["one and other both have etc/b"]);
  expect(fileConflicts([one, { ...other, conflicts: ["one"] }])).toEqual([]);
  expect(fileConflicts([one, { ...other, conflicts: ["one<1"] }])).toHaveLength(1);
});

/** As Arch has it, cut down to what counts. */
const ARCH = [
  entry("systemd", { version: "259.1-1", provides: ["udev=259.1", "systemd-tools=259.1"] }),
  entry("systemd-ukify", { base: "systemd", depends: ["systemd=259.1"] }),
  entry("device-mapper", { depends: ["systemd"] }),
  entry("needs-udev", { depends: ["udev>=240"] }),
];
const OURS = [entry("systemd", { version: "999-1" }), entry("eudev", { provides: ["udev=251"] })];

test("ours stand for Arch's as long as what Arch asks of them is there", () => {
  expect(compareWithArch(OURS, ARCH)).toEqual([]);
});

test("a version that ours do not have any more is named, with who asks for it", () => {
  const arch = [
    ...ARCH,
    entry("new", { depends: ["udev>=255"] }),
    entry("old", { depends: ["systemd<300"] }),
  ];
  expect(compareWithArch(OURS, arch)).toEqual([
    "new of Arch's needs udev>=255, which nobody provides any more",
    "old of Arch's needs systemd<300, which systemd 999-1 does not satisfy",
  ]);
});

test("what Arch's provides and ours does not is named once somebody asks for it", () => {
  const arch = [...ARCH, entry("tool", { depends: ["systemd-tools"] })];
  expect(compareWithArch(OURS, arch)).toEqual([
    "tool of Arch's needs systemd-tools, which nobody provides any more",
  ]);
});

test("a package with files that has the name of one of Arch's is named", () => {
  const arch = [...ARCH, entry("polkit")];
  const own = entry("polkit", { version: "999-1", files: ["usr/lib/polkit-1/polkitd"] });
  expect(compareWithArch([...OURS, own], arch)).toEqual([
    "polkit has files and the name of a package of Arch's, which it would replace everywhere: only packages without files may",
  ]);
});

test("a version of Arch's that pacman would take for an upgrade is named", () => {
  const [dummy, eudev] = OURS;
  if (dummy === undefined || eudev === undefined) throw new Error("no packages");
  expect(compareWithArch([{ ...dummy, version: "259-1" }, eudev], ARCH)).toEqual([
    "systemd 259-1 is not above Arch's 259.1-1: pacman would take that for an upgrade",
  ]);
});
