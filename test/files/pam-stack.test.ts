/** The two PAM lines of the package in a real PAM, with an environment that means no good. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { FakeRoot, ROOT, run } from "./run.ts";

let root: FakeRoot;
beforeAll(async () => {
  root = await FakeRoot.make();
  await root.copy("files/etc/security/lainos-session.conf", "etc/security/lainos-session.conf");
  await root.copy("files/usr/libexec/lainos/pam-session", "usr/libexec/lainos/pam-session");
  const init = `#!/bin/sh\n/usr/bin/env -0 >${root.path}/said\n`;
  await root.write("usr/libexec/lainos/lainos-init", init, 0o755);
  await root.write("shell-sees", `#!/bin/sh\n/usr/bin/env -0 >${root.path}/seen\n`, 0o755);
  const recipe = await Bun.file(join(ROOT, "protocol7-core.install")).text();
  const [first, last] = ["first", "last"].map((name) =>
    root.here(new RegExp(`^_lainos_pam_${name}='(.*)'$`, "m").exec(recipe)?.[1] ?? ""),
  );
  await root.write("pam/p7", `${first}\n${last}\n`);
  // What a shell in the place of our script is given.
  await root.write(
    "pam/p7-seen",
    `${first}\nsession required pam_exec.so seteuid ${root.path}/shell-sees\n`,
  );
});
afterAll(async () => {
  await root[Symbol.asyncDispose]();
});

/** Opens a session of nobody's with these variables in PAM's environment. */
async function login(service: string, variables: Record<string, string>) {
  await run(["rm", "-f", join(root.path, "said"), join(root.path, "seen")]);
  const given = Object.entries(variables).flatMap(([name, value]) => ["-E", `${name}=${value}`]);
  const script = `mount --bind "$0" /etc/pam.d && exec "$@"`;
  return run([
    ...["unshare", "--mount", "--propagation", "private", "sh", "-c", script, `${root.path}/pam`],
    ...["pamtester", ...given, service, "nobody", "open_session"],
  ]);
}

/** What a program was given; undefined if it was not run. */
async function environment(file: string): Promise<Record<string, string> | undefined> {
  if (!(await Bun.file(join(root.path, file)).exists())) return undefined;
  const text = await root.read(file);
  return Object.fromEntries(text.split("\0").map((line) => line.split(/=(.*)/s).slice(0, 2)));
}

/** The variables that glibc's loader ignores where a program is setuid, as the loader itself has them. */
async function insecure(): Promise<string[]> {
  const loader = Buffer.from(await Bun.file("/lib64/ld-linux-x86-64.so.2").arrayBuffer());
  const start = loader.lastIndexOf("GCONV_PATH\0");
  const end = loader.indexOf("\0\0", start);
  return loader.toString("latin1", start, end).split("\0");
}

const named = async () =>
  (await Bun.file(join(ROOT, "files/etc/security/lainos-session.conf")).text())
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));

test("what the loader calls insecure is taken away, and the list knows no others twice", async () => {
  const names = await named();
  const list = await insecure();
  expect(list).toContain("LD_PRELOAD");
  expect(list.length).toBeGreaterThan(15);
  expect(names).toEqual(expect.arrayContaining(list));
  expect(new Set(names).size).toBe(names.length);
});

test("none of the variables that are named reaches a shell", async () => {
  const names = await named();
  const hostile = Object.fromEntries(names.map((name) => [name, "/tmp/hostile"]));
  const result = await login("p7-seen", { ...hostile, XDG_SEAT: "seat0", EDITOR: "vi" });
  expect(result).toMatchObject({ exitCode: 0 });
  const seen = await environment("seen");
  expect(seen).toMatchObject({ XDG_SEAT: "seat0", EDITOR: "vi", PAM_USER: "nobody" });
  expect(Object.entries(seen ?? {}).filter(([, value]) => value === "/tmp/hostile")).toEqual([]);
});

test.each([
  ["LD_TRACE_LOADED_OBJECTS", "1"],
  ["LD_SHOW_AUXV", "1"],
  ["LD_PRELOAD", "/nowhere/evil.so"],
  ["LD_BIND_NOW", "1"],
  ["BASH_ENV", "/dev/null"],
])("%s keeps no session from being registered, and says nothing", async (name, value) => {
  const result = await login("p7", { [name]: value, PAM_TTY: "tty7", PAM_RHOST: "far.example" });
  expect(result).toMatchObject({ exitCode: 0, stderr: "" });
  expect(result.stdout).not.toMatch(/ld-linux|AT_/);
  const said = await environment("said");
  expect(said).toMatchObject({ PAM_TYPE: "open_session", PAM_USER: "nobody", PAM_SERVICE: "p7" });
  // pam_exec says of an item only what the login program has said.
  expect(said?.PAM_TTY ?? "").toBe("");
  expect(said?.PAM_RHOST ?? "").toBe("");
});
