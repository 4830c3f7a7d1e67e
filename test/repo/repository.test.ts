/** The repositories as pacman, a web client and the checker find them. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";
import { AIROOTFS } from "../../scripts/iso/profile.ts";
import { checkRepositories } from "../../scripts/repo/check.ts";
import { folderOf, packagesIn, publish } from "../../scripts/repo/repository.ts";
import { serve } from "../../scripts/repo/serve.ts";
import { makePackage, Pacman, removeAll, scratch, throwAwayKey } from "./support.ts";

const signal = new AbortController().signal;
const must = $({ quiet: true });

let folder: string;
let files: string[];
const servers: ReturnType<typeof serve>[] = [];

beforeAll(async () => {
  await ensureHostPackages(["pacman", "repo-add", "bsdtar", "zstd"]);
  folder = await scratch();
  files = [
    await makePackage(folder, {
      name: "protocol7-core",
      version: "1:6-1",
      info: ["depend = bash"],
      files: { "etc/a": "a\n" },
    }),
    await makePackage(folder, { name: "lainos-keyring", files: { "usr/share/k": "k\n" } }),
  ];
});
afterEach(() => {
  for (const server of servers.splice(0)) server.stop(true);
});
afterAll(removeAll);

async function published(sign?: string): Promise<string> {
  const out = join(await scratch(), "repository");
  await publish({ out, files, sign, signal });
  return out;
}

function served(root: string): string {
  const server = serve({ root, port: 0, hostname: "127.0.0.1" });
  servers.push(server);
  return `http://127.0.0.1:${server.port}`;
}

const sections = (server: string) =>
  ["protocol_7_repo", "lainos_repo"]
    .map((name) => `[${name}]\nServer = ${server}/$repo/$arch\n`)
    .join("");

describe("publish", () => {
  test("replaces the old state at once and leaves nothing else", async () => {
    const out = await published();
    const extra = await makePackage(folder, { name: "more" });
    await publish({ out, files: [...files, extra], sign: undefined, signal });
    expect((await packagesIn(out)).length).toBe(3);
    await publish({ out, files, sign: undefined, signal });
    expect((await packagesIn(out)).length).toBe(2);
    const beside = (await readdir(join(out, ".."))).sort();
    expect(beside).toHaveLength(2);
    expect(beside[1]).toBe("repository");
  });

  test("that fails leaves the old state", async () => {
    const out = await published();
    const broken = join(folder, "broken-1-1-any.pkg.tar.zst");
    await writeFile(broken, "no package\n");
    const wrong = publish({ out, files: [broken], sign: undefined, signal });
    await expect(wrong).rejects.toThrow(/repo-add failed: .*broken/);
    expect((await checkRepositories(out, folder)).faults).toEqual([]);
    expect(await readdir(join(out, ".."))).toHaveLength(2);
  });

  test("does not take the place of a folder that is somebody else's", async () => {
    const out = join(await scratch(), "mine");
    await writeFile(out, "");
    const wrong = publish({ out, files, sign: undefined, signal });
    await expect(wrong).rejects.toThrow(/mine was not made by bun run repo/);
  });

  test("makes a repository without packages one that pacman takes", async () => {
    const out = join(await scratch(), "repository");
    await publish({ out, files: files.slice(0, 1), sign: undefined, signal });
    const pacman = await Pacman.make(sections(`file://${out}`));
    await pacman.must("-Sy");
    expect(await pacman.must("-Sl")).toBe("protocol_7_repo protocol7-core 1:6-1\n");
  });
});

describe("a clean pacman", () => {
  for (const way of ["file", "http"]) {
    test(`installs from it by ${way}`, async () => {
      const out = await published();
      const server = way === "file" ? `file://${out}` : served(out);
      const pacman = await Pacman.make(sections(server));
      await pacman.must("-Sy");
      await pacman.must("-S", "--assume-installed", "bash", "protocol7-core", "lainos-keyring");
      expect(await pacman.installed()).toEqual(["lainos-keyring 1-1", "protocol7-core 1:6-1"]);
    });
  }
});

describe("signed", () => {
  let out: string;
  let key: Awaited<ReturnType<typeof throwAwayKey>>;
  const before = process.env.GNUPGHOME;

  beforeAll(async () => {
    key = await throwAwayKey();
    process.env.GNUPGHOME = key.home;
  });
  afterAll(() => {
    key.end();
    if (before === undefined) delete process.env.GNUPGHOME;
    else process.env.GNUPGHOME = before;
  });

  /** One that takes nothing without a signature by the key. */
  async function strict(): Promise<Pacman> {
    out = await published(key.key);
    const pacman = await Pacman.make(sections(`file://${out}`), "SigLevel = Required TrustedOnly");
    const gpg = ["--homedir", join(pacman.folder, "gpg"), "--batch", "--quiet", "--no-autostart"];
    await must`chmod 700 ${join(pacman.folder, "gpg")}`;
    const exported = join(pacman.folder, "key.gpg");
    const trust = join(pacman.folder, "trust");
    await must`gpg --batch --output ${exported} --export ${key.key}`;
    await writeFile(trust, `${key.key}:6:\n`);
    await must`gpg ${gpg} --import ${exported}`;
    await must`gpg ${gpg} --import-ownertrust ${trust}`;
    return pacman;
  }

  const install = ["-S", "--assume-installed", "bash", "protocol7-core"];

  test("packages and databases are taken by a pacman that requires it", async () => {
    const pacman = await strict();
    await pacman.must("-Sy");
    await pacman.must(...install);
    expect(await pacman.installed()).toEqual(["protocol7-core 1:6-1"]);
    expect((await checkRepositories(out, folder)).faults).toEqual([]);
  });

  /** The sections of our repositories as a medium has them, with a server of the test's. */
  async function mediumSections(out: string): Promise<string> {
    const text = await readFile(join(AIROOTFS, "etc/pacman.conf"), "utf8");
    const sections = text
      .split(/^(?=\[)/m)
      .filter((section) => /^\[(protocol_7|lainos)_/.test(section));
    expect(sections).toHaveLength(2);
    return sections.join("").replaceAll(/^Server = .*/gm, `Server = file://${out}/$repo/$arch`);
  }

  test("the installed system's pacman.conf takes nothing that is not", async () => {
    const unsigned = await published();
    const pacman = await Pacman.make(await mediumSections(unsigned), "SigLevel = Never");
    const done = await pacman.run("-Sy");
    expect(done.code).not.toBe(0);
    expect(done.text).toContain("protocol_7_repo.db.sig");
  });

  test("the installed system's pacman.conf takes what a key of its keyring has signed", async () => {
    const other = await strict();
    const stranger = await Pacman.make(await mediumSections(out), "SigLevel = Never");
    const refused = await stranger.run("-Sy");
    expect(refused.code).not.toBe(0);
    const known = await Pacman.make(await mediumSections(out), "SigLevel = Never");
    await must`cp -a ${join(other.folder, "gpg")}/. ${join(known.folder, "gpg")}`;
    await known.must("-Sy");
    await known.must(...install);
    expect(await known.installed()).toEqual(["protocol7-core 1:6-1"]);
  });

  test("a package that was changed is refused, and found", async () => {
    const pacman = await strict();
    await pacman.must("-Sy");
    const file = join(folderOf(out, "protocol_7_repo"), "protocol7-core-1:6-1-any.pkg.tar.zst");
    // It is a link to the kept one, which must stay as it is.
    await rm(file);
    await makePackage(join(file, ".."), {
      name: "protocol7-core",
      version: "1:6-1",
      files: { "etc/evil": "" },
    });
    const done = await pacman.run(...install);
    expect(done.code).not.toBe(0);
    expect(done.text).toMatch(/invalid or corrupted package|checksum/);
    const { faults } = await checkRepositories(out, folder);
    expect(faults.join("\n")).toMatch(/SHA-256 differs/);
    expect(faults.join("\n")).toMatch(/signature of protocol7-core-1:6-1-any.* is not good/);
  });

  test("a database whose signature is lost is refused, and found", async () => {
    const pacman = await strict();
    const database = join(folderOf(out, "protocol_7_repo"), "protocol_7_repo.db");
    await rm(`${database}.sig`);
    const done = await pacman.run("-Sy");
    expect(done.code).not.toBe(0);
    expect((await checkRepositories(out, folder)).faults).toEqual([
      "protocol_7_repo.db is not signed",
    ]);
  });

  test("without the key nothing is published, and the old state stays", async () => {
    await strict();
    const wrong = publish({ out, files, sign: "0".repeat(40), signal });
    await expect(wrong).rejects.toThrow(/gpg cannot sign .*: gpg: .*secret key/);
    expect((await checkRepositories(out, folder)).faults).toEqual([]);
  });
});

describe("the server", () => {
  const path = "/protocol_7_repo/x86_64/protocol7-core-1%3A6-1-any.pkg.tar.zst";

  test("sends files, their heads, and parts of them", async () => {
    const url = served(await published()) + path;
    const bytes = await Bun.file(files[0] as string).bytes();
    const whole = await fetch(url);
    expect(whole.status).toBe(200);
    expect(await whole.bytes()).toEqual(bytes);

    const head = await fetch(url, { method: "HEAD" });
    expect(head.headers.get("content-length")).toBe(String(bytes.length));
    expect(await head.text()).toBe("");

    const part = await fetch(url, { headers: { range: "bytes=10-" } });
    expect(part.status).toBe(206);
    expect(part.headers.get("content-range")).toBe(`bytes 10-${bytes.length - 1}/${bytes.length}`);
    expect(await part.bytes()).toEqual(bytes.slice(10));
    const last = await fetch(url, { headers: { range: "bytes=-4" } });
    expect(await last.bytes()).toEqual(bytes.slice(-4));
    const beyond = await fetch(url, { headers: { range: `bytes=${bytes.length}-` } });
    expect(beyond.status).toBe(416);
  });

  test("does not send again what has not changed", async () => {
    const url = served(await published()) + path;
    const modified = (await fetch(url)).headers.get("last-modified") ?? "";
    const again = await fetch(url, { headers: { "if-modified-since": modified } });
    expect(again.status).toBe(304);
    const older = new Date(Date.parse(modified) - 1000).toUTCString();
    expect((await fetch(url, { headers: { "if-modified-since": older } })).status).toBe(200);
  });

  test("has nothing but the repositories' files", async () => {
    const out = await published();
    await writeFile(join(out, "secret"), "s");
    const url = served(out);
    for (const wrong of [
      "/",
      "/secret",
      "/protocol_7_repo/x86_64/",
      "/protocol_7_repo/x86_64/..%2f..%2fsecret",
      "/protocol_7_repo/x86_64/%2e%2e/%2e%2e/secret",
      "/protocol_7_repo/x86_64/../../secret",
      "/protocol_7_repo/x86_64/%00",
      "/protocol_7_repo/x86_64/%zz",
      "/other_repo/x86_64/a",
      "/protocol_7_repo/i686/protocol_7_repo.db",
    ]) {
      // curl, since fetch makes the path plain before it is sent.
      const done =
        await must`curl -s -o /dev/null --path-as-is -w ${"%{http_code}"} ${url + wrong}`;
      expect([wrong, done.stdout]).toEqual([wrong, "404"]);
    }
    expect((await fetch(url + path, { method: "DELETE" })).status).toBe(405);
  });

  test("curl goes on with a download that was broken off", async () => {
    const url = served(await published()) + path;
    const target = join(await scratch(), "file");
    await must`curl -sf -o ${target} ${url}`;
    await truncate(target, 7);
    await must`curl -sf -C - -o ${target} ${url}`;
    expect(await Bun.file(target).bytes()).toEqual(await Bun.file(files[0] as string).bytes());
  });
});

describe("the checker", () => {
  test("names entries without files and files without entries", async () => {
    const out = await published();
    const place = folderOf(out, "lainos_repo");
    await rename(
      join(place, "lainos-keyring-1-1-any.pkg.tar.zst"),
      join(place, "lainos-keyring-2-1-any.pkg.tar.zst"),
    );
    expect((await checkRepositories(out, folder)).faults).toEqual([
      "lainos-keyring is in the database, and its file lainos-keyring-1-1-any.pkg.tar.zst is not there",
      "lainos-keyring-2-1-any.pkg.tar.zst lies there and is not in the database",
    ]);
  });

  test("compares with Arch's databases where they are, and says where they are not", async () => {
    const out = await published();
    expect((await checkRepositories(out, folder)).notes.join()).toMatch(/has no core.db/);
    const arch = await scratch();
    const bash = await makePackage(arch, { name: "bash" });
    const newer = await makePackage(arch, { name: "protocol7-core", version: "2:1-1" });
    for (const [name, all] of Object.entries({ core: [bash], extra: [newer] })) {
      await must`repo-add --quiet ${join(arch, `${name}.db.tar.gz`)} ${all}`;
    }
    expect(await checkRepositories(out, arch)).toEqual({
      faults: [
        "protocol7-core has files and the name of a package of Arch's, which it would replace everywhere: only packages without files may",
        "protocol7-core 1:6-1 is not above Arch's 2:1-1: pacman would take that for an upgrade",
      ],
      notes: [],
    });
    const empty = join(await scratch(), "empty");
    await symlink(out, empty);
    await rm(join(arch, "core.db"));
    await writeFile(join(arch, "core.db"), "no database\n");
    await expect(checkRepositories(empty, arch)).rejects.toThrow(/core.db is no database/);
  });

  test("says where there is no repository", async () => {
    const wrong = checkRepositories(join(folder, "nowhere"));
    await expect(wrong).rejects.toThrow(/there is no repository in .*nowhere.*: run bun run repo/);
  });
});
