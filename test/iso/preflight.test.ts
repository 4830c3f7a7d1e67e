/** What is looked at before a build, with a real pacman and a repository of one package. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";
import { checkArchHost, checkPackages, checkSpace } from "../../scripts/iso/preflight.ts";
import { type Profile, readProfile } from "../../scripts/iso/profile.ts";
import { quiet } from "../../scripts/lib/progress.ts";
import { makeRepository } from "../../scripts/package.ts";

const TOP = resolve(import.meta.dir, "../..");
const must = $({ quiet: true });
const signal = new AbortController().signal;

let folder: string;
let profile: Profile;

beforeAll(async () => {
  await ensureHostPackages(["pacman", "bsdtar", "repo-add"]);
  folder = await mkdtemp(join(tmpdir(), "p7-preflight-"));
  profile = await readProfile("1795550674");
  const tree = join(folder, "tree");
  await mkdir(tree);
  const info =
    "pkgname = known\npkgbase = known\npkgver = 1-1\npkgdesc = a test's\narch = any\nsize = 0\n";
  await writeFile(join(tree, ".PKGINFO"), info);
  const file = join(folder, "known-1-1-any.pkg.tar.zst");
  await must`bsdtar -c --zstd -f ${file} -C ${tree} .PKGINFO`;
  await makeRepository(join(folder, "repository"), [file]);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** A pacman.conf with the repository at a folder. */
async function config(repository: string): Promise<string> {
  const file = join(folder, "pacman.conf");
  const server = `file://${join(folder, repository)}`;
  await writeFile(
    file,
    `[options]\nArchitecture = x86_64\nSigLevel = Never\n[protocol_7_repo]\nServer = ${server}\n`,
  );
  return file;
}

const packages = (...names: string[]): Profile => ({ ...profile, packages: names });

test("packages that a repository has are found, and nothing is installed or left", async () => {
  await checkPackages(await config("repository"), packages("known"), quiet, signal);
  const left = await must`find /tmp -maxdepth 1 -name ${"protocol7-resolve-*"}`;
  expect(left.stdout).toBe("");
});

test("packages that no repository has are named", async () => {
  const wrong = checkPackages(
    await config("repository"),
    packages("known", "ghost"),
    quiet,
    signal,
  );
  await expect(wrong).rejects.toThrow(
    /^no repository has ghost: correct profile\/packages\.x86_64/,
  );
});

test("a repository that does not answer is named, with what to look at", async () => {
  const wrong = checkPackages(await config("elsewhere"), packages("known"), quiet, signal);
  await expect(wrong).rejects.toThrow(/a repository of .*pacman\.conf does not answer: .*Server/);
});

test("a repository that is not signed is said to be that, with how to trust a key", async () => {
  const file = await config("repository");
  await writeFile(
    file,
    (await Bun.file(file).text()).replace(
      "SigLevel = Never",
      "SigLevel = Required DatabaseRequired",
    ),
  );
  const wrong = checkPackages(file, packages("known"), quiet, signal);
  await expect(wrong).rejects.toThrow(
    /pacman does not trust a repository of .*: error: .*protocol_7_repo\.db\.sig.*; if it is ours, pacman-key --add/,
  );
});

test("too little room is said in gigabytes, with another folder as the mend", async () => {
  const small = join(folder, "small");
  await mkdir(small);
  await must`mount -t tmpfs -o size=16m p7-small ${small}`;
  try {
    await expect(checkSpace(small, "debian")).rejects.toThrow(
      /has 0\.0 GB free and a build takes 4\.0: free some, or name another folder by --work/,
    );
  } finally {
    await must`umount ${small}`;
  }
});

test.if(await Bun.file("/etc/debian_version").exists())(
  "mkarchiso is for Arch, and the stand-in for here",
  async () => {
    await expect(checkArchHost()).rejects.toThrow("use --base debian for the stand-in");
  },
);

async function iso(...words: string[]) {
  const child = Bun.spawn([process.execPath, "scripts/iso/main.ts", ...words], {
    cwd: TOP,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { out, err, code: await child.exited };
}

test("wrong usage is one line and status 2", async () => {
  const { err, code } = await iso("--base", "gentoo");
  expect({ code, lines: err.trim().split("\n").length }).toEqual({ code: 2, lines: 1 });
  expect(err).toContain("--base gentoo: it must be arch or debian");
});

test("a key that nobody has is said before anything is built", async () => {
  const { err, out, code } = await iso("--base", "debian", "--sign", "nobody@nowhere");
  expect(code).toBe(1);
  expect(err).toStartWith("iso: gpg has no secret key nobody@nowhere");
  expect(out).not.toContain("protocol7-core's package");
  // And whether there is a key of the project's, which is not in the tree.
  expect(out).toContain("signatures: there is no packages/lainos-keyring/lainos.pub, so ");
});

test("check says that all is right", async () => {
  expect(await iso("check")).toMatchObject({ code: 0, err: "" });
});
