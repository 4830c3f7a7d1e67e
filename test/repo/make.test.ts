/** `bun run repo` with PKGBUILDs of the test's own, and with what can go wrong. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";
import { checkRepositories } from "../../scripts/repo/check.ts";
import { packageName, packagesIn } from "../../scripts/repo/repository.ts";
import { removeAll, scratch, throwAwayKey } from "./support.ts";

const MAIN = resolve(import.meta.dir, "../../scripts/repo/main.ts");
const KEYRING = resolve(import.meta.dir, "../../packages/lainos-keyring");
const must = $({ quiet: true });
const run = $({ nothrow: true, quiet: true });

beforeAll(() => ensureHostPackages(["makepkg", "pacman", "fakeroot", "bsdtar", "gcc"]));
afterAll(removeAll);

/** A folder for PKGBUILDs, and one each for what is kept and for the repositories. */
class World {
  private constructor(readonly folder: string) {}

  static async make(): Promise<World> {
    return new World(await scratch());
  }

  /** Writes a PKGBUILD with a file in the package, and what else is given. */
  async add(name: string, lines = "", version = "1"): Promise<void> {
    const place = join(this.folder, "packages", name);
    await mkdir(place, { recursive: true });
    const text = `pkgname=${name}
pkgver=${version}
pkgrel=1
arch=('any')
license=('MIT')
${lines}
package() {
	install -d "$pkgdir/etc"
	echo ${version} >"$pkgdir/etc/${name}"
}
`;
    await writeFile(join(place, "PKGBUILD"), text);
  }

  /** The command's words. */
  command(...words: string[]): string[] {
    const place = (name: string) => join(this.folder, name);
    const folders = ["--packages", place("packages"), "--work", place("work"), "--out", this.out];
    return [process.execPath, MAIN, ...folders, ...words];
  }

  get out(): string {
    return join(this.folder, "repository");
  }

  async repo(...words: string[]) {
    const done = await run`${this.command(...words)}`;
    return { code: done.exitCode, out: done.stdout, errors: done.stderr.trim().split("\n") };
  }

  /** The packages' names and versions, of a repository that the checker takes. */
  async whole(): Promise<string[]> {
    expect((await checkRepositories(this.out, this.folder)).faults).toEqual([]);
    const files = await packagesIn(this.out);
    return files.map((file) => /([^/]+)-any\.pkg/.exec(file)?.[1] ?? file).sort();
  }
}

/** Processes that work in a folder, by their current folder or their arguments. */
async function processesOf(word: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (line.includes(word)) found.push(line.replaceAll("\0", " "));
  }
  return found;
}

/** Waits for what a build tells by a file. Ends by the test's own limit. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await Bun.sleep(50);
}

test("what changed is built, the rest is kept, and a package that is no more goes", async () => {
  const world = await World.make();
  await world.add("one");
  await world.add("two", "depends=('one')");
  const first = await world.repo();
  expect([first.code, first.errors]).toEqual([0, [""]]);
  expect(await world.whole()).toEqual(["one-1-1", "two-1-1"]);
  // In the order of their dependencies.
  expect(first.out.replaceAll(/.*(one|two).*1-1 +built\n/g, "$1 ")).toStartWith("one two ");

  await world.add("one", "", "2");
  const second = await world.repo();
  expect(second.out).toMatch(/one +2-1 +built\n.*two +1-1 +kept\n/);
  expect(await world.whole()).toEqual(["one-2-1", "two-1-1"]);
  expect(await readdir(join(world.folder, "work/packages/one"))).toHaveLength(1);

  await rm(join(world.folder, "packages/two"), { recursive: true });
  expect((await world.repo()).code).toBe(0);
  expect(await world.whole()).toEqual(["one-2-1"]);
}, 120_000);

test("packages that fail are named in a line each, and the others and the old ones are there", async () => {
  const world = await World.make();
  await world.add("good");
  await world.add("fails");
  expect((await world.repo()).code).toBe(0);

  await world.add("good", "", "2");
  await world.add("fails", "build() {\n\techo the reason >&2\n\treturn 1\n}", "2");
  await world.add("broken", "pkgrel=(");
  await world.add("wrong", "license=('GPL')");
  const sum = "0".repeat(64);
  const away = "https://127.0.0.1:9/away-1.tar.gz";
  await world.add("away", `source=('${away}')\nsha256sums=('${sum}')`);
  await world.add("local", "source=('gone')\nsha256sums=('SKIP')");
  const done = await world.repo();
  expect(done.code).toBe(1);
  const log = join(world.folder, "work/logs/fails.log");
  expect(done.errors.sort()).toEqual([
    expect.stringMatching(
      /^repo: away was not built: source unreachable: https:\/\/127.0.0.1:9\/away-1.tar.gz/,
    ),
    expect.stringMatching(/^repo: broken failed: its PKGBUILD is broken: /),
    expect.stringMatching(
      /^repo: fails failed: makepkg failed: the reason; A failure occurred in build\(\).; see /,
    ),
    "repo: fails is there as it was before",
    expect.stringMatching(/^repo: local failed: .*packages\/local\/gone is missing/),
    'repo: wrong failed: license is "GPL": it must be an SPDX id that scripts/repo/lint.ts knows',
  ]);
  expect(await readFile(log, "utf8")).toMatch(/the reason/);
  expect(await world.whole()).toEqual(["fails-1-1", "good-2-1"]);

  // Nothing fails any more, but not everything is there.
  for (const name of ["fails", "broken", "wrong", "local"]) {
    await rm(join(world.folder, "packages", name), { recursive: true });
  }
  expect((await world.repo()).code).toBe(3);
  expect(await world.whole()).toEqual(["good-2-1"]);
}, 120_000);

test("a source is downloaded once, and one that is not what is expected is refused", async () => {
  const world = await World.make();
  const bytes = "source\n";
  const sum = createHash("sha256").update(bytes).digest("hex");
  let asked = 0;
  const folder = await scratch();
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const [key, cert] = [join(folder, "key"), join(folder, "cert")];
  await must`openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes ${subject} -keyout ${key} -out ${cert}`;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { key: Bun.file(key), cert: Bun.file(cert) },
    fetch: () => {
      asked += 1;
      return new Response(bytes);
    },
  });
  try {
    const url = `https://127.0.0.1:${server.port}/s-1`;
    const trusting = { ...process.env, NODE_EXTRA_CA_CERTS: cert };
    const repo = $({ nothrow: true, quiet: true, env: trusting });
    await world.add("wrong", `source=('${url}')\nsha256sums=('${"0".repeat(64)}')`);
    const refused = await repo`${world.command()}`;
    expect(refused.stderr).toMatch(
      new RegExp(`${url} is not what the PKGBUILD expects: its SHA-256 is ${sum}`),
    );
    expect(await readdir(join(world.folder, "work/sources/wrong"))).toEqual([]);

    await rm(join(world.folder, "packages/wrong"), { recursive: true });
    await world.add(
      "right",
      `source=('${url}')\nsha256sums=('${sum}')\nbuild() {\n\ttest -s s-1\n}`,
    );
    expect((await repo`${world.command()}`).exitCode).toBe(0);
    await world.add("right", `source=('${url}')\nsha256sums=('${sum}')`, "2");
    expect((await repo`${world.command()}`).exitCode).toBe(0);
    expect(asked).toBe(2);
  } finally {
    server.stop(true);
  }
}, 120_000);

test("a build that is broken off leaves the repository whole, and the next one goes on", async () => {
  const world = await World.make();
  // Its folder in /tmp has this name; another run of this test has another.
  const slow = `slow${process.pid}`;
  await world.add("first");
  await world.add(slow);
  expect((await world.repo()).code).toBe(0);

  // The build, as nobody, tells that it has begun and waits to be let go.
  const gate = await scratch();
  await chmod(gate, 0o777);
  const wait = `touch ${gate}/began\n\twhile [[ ! -e ${gate}/go ]]; do sleep 0.1; done`;
  await world.add("first", "", "2");
  await world.add(slow, `depends=('first')\nbuild() {\n\t${wait}\n}`, "2");
  for (const [signal, status, said] of [
    ["SIGINT", 130, "repo: ended by SIGINT\n"],
    ["SIGKILL", 137, ""],
  ] as const) {
    const child = Bun.spawn(world.command(), { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    await until(() => Bun.file(join(gate, "began")).exists());
    child.kill(signal);
    expect(await child.exited).toBe(status);
    expect(await child.stderr.text()).toBe(said);
    await until(async () => (await processesOf(`/tmp/${slow}-`)).length === 0);
    expect(await world.whole()).toEqual(["first-1-1", `${slow}-1-1`]);
    await rm(join(gate, "began"));
  }

  await writeFile(join(gate, "go"), "");
  const again = await world.repo();
  expect(again.code).toBe(0);
  expect(again.out).toMatch(/first +2-1 +kept\n.*slow\d+ +2-1 +built\n/);
  expect(await world.whole()).toEqual(["first-2-1", `${slow}-2-1`]);
  expect((await readdir("/tmp")).filter((name) => name.startsWith(`${slow}-`))).toEqual([]);
}, 120_000);

test("a full disk is told in a line, and the repository stays", async () => {
  const world = await World.make();
  await world.add("big");
  for (const name of ["work", "place"]) {
    await mkdir(join(world.folder, name));
    await must`mount -t tmpfs -o size=512k tmpfs ${join(world.folder, name)}`;
  }
  const out = join(world.folder, "place/repository");
  try {
    expect((await world.repo("--out", out)).code).toBe(0);
    const random = "head -c 2000000 /dev/urandom >src-random";
    const lines = `build() {\n\t${random}\n}\n_more() {\n\tcp src-random "$pkgdir/etc/random"\n}`;
    await world.add("big", lines, "2");
    const file = join(world.folder, "packages/big/PKGBUILD");
    const text = await readFile(file, "utf8");
    await writeFile(
      file,
      text.replace("package() {", 'package() {\n\tinstall -Dm644 src-random "$pkgdir/etc/random"'),
    );
    const full = await world.repo("--out", out);
    expect(full.code).toBe(1);
    expect(full.errors[0]).toMatch(
      /^repo: big failed: no room is left .*: free some, or name other folders by --work and --out$/,
    );
    expect((await checkRepositories(out, world.folder)).faults).toEqual([]);
    expect((await packagesIn(out)).map(packageName)).toEqual(["big"]);

    // It is the repositories' own disk that is full: the package is built, and the old one stays.
    const roomy = join(world.folder, "roomy");
    const crowded = await world.repo("--out", out, "--work", roomy);
    expect(crowded.code).toBe(1);
    expect(crowded.errors.at(-1)).toMatch(
      /place\/repository has no room for the new repositories, and the old ones stay/,
    );
    expect((await checkRepositories(out, world.folder)).faults).toEqual([]);
    expect(await readdir(join(world.folder, "place"))).toHaveLength(2);
  } finally {
    for (const name of ["work", "place"]) await must`umount ${join(world.folder, name)}`;
  }
}, 120_000);

test("lainos-keyring is made of the keys that it is given, and signs nothing away", async () => {
  const { home, key, end } = await throwAwayKey();
  const gpg = $({ quiet: true, env: { ...process.env, GNUPGHOME: home } });
  try {
    const world = await World.make();
    const place = join(world.folder, "packages/lainos-keyring");
    await must`mkdir -p ${join(world.folder, "packages")}`;
    await must`cp -r ${KEYRING} ${place}`;
    const without = await world.repo();
    expect(without.errors[0]).toMatch(
      /lainos-keyring was not built: .*lainos.pub is missing: the PKGBUILD beside it says/,
    );
    // As in every checkout but the maintainers': a real failure is to be seen beside it.
    expect(without.code).toBe(3);

    await gpg`gpg --batch --armor --output ${join(place, "lainos.pub")} --export-secret-keys ${key}`;
    const secret = await world.repo();
    expect(secret.errors[0]).toMatch(
      /lainos.pub holds a secret key: it must never be in a package/,
    );

    await gpg`gpg --batch --yes --armor --output ${join(place, "lainos.pub")} --export ${key}`;
    const good = await world.repo("--sign", "nobody@example.org");
    expect(good.errors).toEqual([
      "repo: gpg has no secret key nobody@example.org: see gpg --list-secret-keys, or leave out --sign",
    ]);
    const unsigned = await world.repo();
    expect(unsigned.code).toBe(0);
    expect(unsigned.out).toContain("not signed: an installed system refuses these repositories");
    const environment = { ...process.env, GNUPGHOME: home };
    const signing = $({ quiet: true, env: environment });
    const signed = await signing`${world.command("--sign", key)}`;
    expect(signed.stdout).toContain(`signed by ${key}, which lainos-keyring has`);
    const other = await throwAwayKey();
    try {
      await writeFile(
        join(place, "lainos.pub"),
        (
          await $({
            quiet: true,
            env: { ...process.env, GNUPGHOME: other.home },
          })`gpg --batch --armor --export ${other.key}`
        ).stdout,
      );
      const strange = await signing`${world.command("--sign", key)}`;
      expect(strange.stdout).toContain(
        "lainos.pub: an installed system refuses these repositories",
      );
    } finally {
      other.end();
    }
    await gpg`gpg --batch --yes --armor --output ${join(place, "lainos.pub")} --export ${key}`;
    expect((await world.repo()).code).toBe(0);
    const file = (await packagesIn(world.out))[0] ?? "";
    const inside = "usr/share/pacman/keyrings";
    const trusted = await must`bsdtar -xOf ${file} ${inside}/lainos-trusted`;
    expect(trusted.stdout).toBe(`${key}:4:\n`);
    expect((await must`bsdtar -xOf ${file} ${inside}/lainos-revoked`).stdout).toBe("");

    await writeFile(join(place, "revoked"), `${key}\n`);
    const none = await world.repo();
    expect(none.errors[0]).toMatch(/revoked has every key of lainos.pub/);
    expect(await packagesIn(world.out)).toHaveLength(1);
  } finally {
    end();
  }
}, 120_000);

test("words that make no sense are refused", async () => {
  const world = await World.make();
  await world.add("one");
  const unknown = await world.repo("--only", "one,other");
  expect(unknown.code).toBe(1);
  expect(unknown.errors).toEqual(["repo: there is no package other: the names are one"]);
  const nowhere =
    await run`${process.execPath} ${MAIN} --packages ${world.folder}/nowhere --out ${world.out}`;
  expect(nowhere.stderr).toMatch(/^repo: there is no folder .*nowhere: name one by --packages\n$/);
  const port = await run`${process.execPath} ${MAIN} serve --port x`;
  expect(port.exitCode).toBe(2);
}, 60_000);
