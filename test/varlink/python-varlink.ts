/** python3-varlink, a client that is not ours. Debian has it from 13 on, and it runs on any Python 3. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "zx";
import { cacheDir } from "../../scripts/host.ts";
import { debianSources, SUITE } from "../../scripts/live/mirror.ts";

const PACKAGE = "python3-varlink";
const FROM = "trixie";
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * The folder for $PYTHONPATH, fetched with apt where the cache does not have it.
 *
 * @throws {Error} if apt cannot fetch it
 */
export async function pythonVarlink(): Promise<string> {
  const path = join(cacheDir(), `${PACKAGE}-${FROM}`);
  const modules = join(path, "usr/lib/python3/dist-packages");
  if (existsSync(path)) return modules;
  await mkdir(cacheDir(), { recursive: true });
  const scratch = await mkdtemp(join(cacheDir(), ".python3-varlink-"));
  try {
    const [main = ""] = await debianSources();
    const source = main
      .replace(` ${SUITE} `, ` ${FROM} `)
      .replace(/^deb /, existsSync(KEYS) ? `deb [signed-by=${KEYS}] ` : "deb ");
    // Lists and caches of its own: the host's own sources stay as they are.
    const config = `Dir::State "${scratch}/state";
Dir::State::status "${scratch}/status";
Dir::Cache "${scratch}/cache";
Dir::Etc::sourcelist "${scratch}/sources";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
`;
    for (const folder of ["state/lists/partial", "cache/archives/partial"]) {
      await mkdir(join(scratch, folder), { recursive: true });
    }
    await Bun.write(join(scratch, "sources"), `${source}\n`);
    await Bun.write(join(scratch, "status"), "");
    await Bun.write(join(scratch, "apt.conf"), config);
    const env = { ...process.env, APT_CONFIG: join(scratch, "apt.conf"), LC_ALL: "C.UTF-8" };
    const run = $({ quiet: true, cwd: scratch, env });
    await run`apt-get -q update`;
    await run`apt-get -q download ${PACKAGE}`;
    await run`dpkg-deb -x ${[...new Bun.Glob("*.deb").scanSync(scratch)]} ${join(scratch, "files")}`;
    await rename(join(scratch, "files"), path);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return modules;
}
