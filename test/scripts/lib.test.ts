import { describe, expect, test } from "bun:test";
import { mirrorsFrom } from "../../scripts/lib/mirror.ts";
import { parseMountinfo } from "../../scripts/lib/mounts.ts";
import { isName } from "../../scripts/lib/state.ts";

describe("mirrors of the host", () => {
  const uri = (base: string, suite: string) => `'${base}/dists/${suite}/InRelease' file 0 `;

  test("main and security are told apart, others ignored", () => {
    const printed = [
      uri("https://vendor.example/apt", "stable-tools"),
      uri("http://mirror.example/debian", "bookworm"),
      uri("http://mirror.example/debian", "bookworm-updates"),
      uri("http://mirror.example/debian-security", "bookworm-security"),
    ].join("\n");
    expect(mirrorsFrom(printed)).toEqual({
      mirror: "http://mirror.example/debian",
      security: "http://mirror.example/debian-security",
    });
  });

  test("nothing printed, nothing found", () => {
    expect(mirrorsFrom("")).toEqual({});
  });
});

test("mount points with blanks and optional fields", () => {
  const text = [
    "30 22 0:27 / /sys/fs/cgroup rw,relatime shared:4 master:1 - cgroup2 cgroup2 rw",
    "31 22 0:28 / /mnt/with\\040blank\\134s rw - tmpfs none rw",
    "",
  ].join("\n");
  expect(parseMountinfo(text)).toEqual([
    { point: "/sys/fs/cgroup", type: "cgroup2" },
    { point: "/mnt/with blank\\s", type: "tmpfs" },
  ]);
});

test("names are plain words", () => {
  for (const good of ["a", "lainos", "a-1", "x".repeat(32)]) expect(isName(good)).toBe(true);
  for (const bad of ["", "-a", "a-", "A", "a/b", "..", "a b", "x".repeat(33)]) {
    expect(isName(bad)).toBe(false);
  }
});
