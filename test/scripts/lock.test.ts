/** The folder at a path that everybody knows, in which a package is built. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, existsSync, lstatSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureHostPackages } from "../../scripts/host.ts";
import { holdFolder } from "../../scripts/lock.ts";
import { makepkg, packageIn } from "../../scripts/makepkg.ts";

const LOCK = join(import.meta.dir, "../../scripts/lock.ts");
const MAKEPKG = join(import.meta.dir, "../../scripts/makepkg.ts");

/** Stands for /tmp: everybody may make something in it. */
let common: string;

beforeAll(async () => {
  await ensureHostPackages(["makepkg", "pacman", "fakeroot", "bsdtar", "zstd"]);
  common = await mkdtemp(join(tmpdir(), "p7-lock-"));
  await chmod(common, 0o1777);
});
afterAll(() => rm(common, { recursive: true, force: true }));

/** A process of its own that holds a folder until it is killed or told to go on. */
async function holder(folder: string) {
  const script = `const { holdFolder } = await import(${JSON.stringify(LOCK)});
    const discard = await holdFolder(${JSON.stringify(folder)});
    await Bun.write(${JSON.stringify(join(folder, "theirs"))}, "theirs");
    console.log("held");
    await Bun.stdin.text();
    await discard();`;
  const child = Bun.spawn([process.execPath, "-e", script], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  expect(Buffer.from(value ?? []).toString()).toBe("held\n");
  return child;
}

describe("what is in the folder's place", () => {
  test.each([
    ["a folder of another user", (at: string) => mkdir(at).then(() => chownSync(at, 1234, 1234))],
    [
      "one of nobody's, as whom makepkg runs",
      (at: string) => mkdir(at).then(() => chownSync(at, 65534, 65534)),
    ],
    ["one that everybody may write to", (at: string) => mkdir(at).then(() => chmod(at, 0o777))],
    ["a link that leads nowhere", async (at: string) => symlinkSync("/nowhere/at/all", at)],
    ["a file", (at: string) => writeFile(at, "theirs")],
  ])("%s is refused and stays as it is", async (_, make) => {
    const at = join(common, "in-the-way");
    await make(at);
    const before = lstatSync(at);
    try {
      const error = await holdFolder(at).catch((thrown: Error) => thrown);
      expect(error).toMatchObject({
        message: expect.stringMatching(
          new RegExp(`^${at} (?:is|belongs|may) .*remove it \\(rm -r ${at}\\)$`),
        ),
      });
      const after = lstatSync(at);
      expect([after.ino, after.uid, after.mode]).toEqual([before.ino, before.uid, before.mode]);
      if (after.isDirectory()) expect(readdirSync(at)).toEqual([]);
    } finally {
      await rm(at, { recursive: true });
    }
  });

  test("a link to a folder of ours is not followed", async () => {
    const [at, ours] = [join(common, "link"), join(common, "ours")];
    await mkdir(ours);
    await writeFile(join(ours, "file"), "ours");
    symlinkSync(ours, at);
    await expect(holdFolder(at)).rejects.toThrow(`${at} is no folder`);
    expect(readdirSync(ours)).toEqual(["file"]);
  });
});

describe("a folder that is held", () => {
  test("is another's only when it is given back, and empty then", async () => {
    const folder = join(common, "waited-for");
    const first = await holder(folder);
    let isOurs = false;
    const second = holdFolder(folder).then((discard) => {
      isOurs = true;
      return discard;
    });
    // Longer than it takes to look again.
    await Bun.sleep(600);
    expect(isOurs).toBe(false);
    expect(readFileSync(join(folder, "theirs"), "utf8")).toBe("theirs");
    first.stdin.end();
    const discard = await second;
    expect(await first.exited).toBe(0);
    expect(readdirSync(folder)).toEqual([".lock"]);
    await discard();
    expect(readdirSync(common).filter((name) => name.includes("waited-for"))).toEqual([]);
  });

  test("is free, and emptied, after its holder was killed", async () => {
    const folder = join(common, "left");
    const first = await holder(folder);
    first.kill("SIGKILL");
    await first.exited;
    expect(existsSync(join(folder, "theirs"))).toBe(true);
    const discard = await holdFolder(folder);
    expect(readdirSync(folder)).toEqual([".lock"]);
    await discard();
    expect(existsSync(folder)).toBe(false);
  });

  test("is waited for no longer than the signal lets one", async () => {
    const folder = join(common, "given-up");
    const discard = await holdFolder(folder);
    const signal = AbortSignal.timeout(300);
    await expect(holdFolder(folder, signal)).rejects.toThrow("timed out");
    await discard();
  });

  test("goes from one to the next among many at once", async () => {
    const folder = join(common, "many");
    let inside = 0;
    const turn = async () => {
      const discard = await holdFolder(folder);
      inside += 1;
      expect(inside).toBe(1);
      await Bun.write(join(folder, "mine"), "");
      await Bun.sleep(20);
      expect(readdirSync(folder).sort()).toEqual([".lock", "mine"]);
      inside -= 1;
      await discard();
    };
    await Promise.all(Array.from({ length: 8 }, turn));
    expect(existsSync(folder)).toBe(false);
  });
});

describe("two builds of one package in one folder", () => {
  const PKGBUILD = `pkgname=p7-twice
pkgver=1
pkgrel=1
arch=('any')
license=('MIT')
build() {
	sleep 1
}
package() {
	install -d "$pkgdir/etc"
	echo 1 >"$pkgdir/etc/p7-twice"
}
`;

  test("both come to their end, with the same bytes", async () => {
    const build = async (name: string): Promise<string> => {
      const job = {
        ...{ stage: join(common, "stage"), epoch: "1795550674", zstd: "-1" },
        ...{ kept: join(common, name), log: join(common, `${name}.log`) },
      };
      const script = `const { makepkg } = await import(${JSON.stringify(MAKEPKG)});
        const fill = (tree) => Bun.write(tree + "/PKGBUILD", ${JSON.stringify(PKGBUILD)});
        await makepkg({ ...${JSON.stringify(job)}, fill });`;
      const child = Bun.spawn([process.execPath, "-e", script], { stderr: "pipe" });
      expect(await child.stderr.text()).toBe("");
      expect(await child.exited).toBe(0);
      const file = await packageIn(job.kept);
      return new Bun.CryptoHasher("sha256").update(readFileSync(file ?? "")).digest("hex");
    };
    const [one, other] = await Promise.all([build("one"), build("other")]);
    expect(one).toBe(other);
    expect(existsSync(join(common, "stage"))).toBe(false);
  }, 60_000);

  test("a foreign folder in its place is named, and nothing is built in it", async () => {
    const stage = join(common, "theirs");
    await mkdir(stage);
    chownSync(stage, 1234, 1234);
    const fill = () => Promise.reject(new Error("it was filled"));
    const job = {
      stage,
      fill,
      epoch: "1",
      zstd: "-1",
      kept: join(common, "k"),
      log: join(common, "l"),
    };
    await expect(makepkg(job)).rejects.toThrow(
      `${stage} belongs to the user 1234, not to 0, and the build needs that very path`,
    );
    expect(readdirSync(stage)).toEqual([]);
  });
});
