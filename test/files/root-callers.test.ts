/** Whoever starts our executables as root does so with an environment of its own making. */
import { describe, expect, test } from "bun:test";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { FakeRoot, ROOT, run, SHELLS } from "./run.ts";

const HOSTILE = {
  BUN_OPTIONS: "--preload=/tmp/x.ts",
  BUN_BE_BUN: "1",
  BUN_INSPECT: "ws://0.0.0.0:1",
  NODE_OPTIONS: "--require=/tmp/x.js",
  LD_LIBRARY_PATH: "/tmp",
  NOTIFY_SOCKET: "/tmp/x",
  "BASH_FUNC_exec%%": "() { echo sprung; }",
  "BASH_FUNC_env%%": "() { echo sprung; }",
};

/** A folder in which the shell is called sh, as bash is on Arch and dash on Debian. */
async function asSh(root: FakeRoot, name: string): Promise<string> {
  const target = Bun.which(name);
  if (target === null) throw new Error(`${name} is not installed`);
  await symlink(target, join(root.path, "sh"));
  return join(root.path, "sh");
}

describe.each(["dash", "bash"].filter((name) => SHELLS.includes(name)))("in %s", (name) => {
  test("the PAM line passes what a login is about, and nothing else", async () => {
    await using root = await FakeRoot.make();
    await root.write("usr/libexec/lainos/lainos-init", '#!/bin/sh\necho "$PPID $*"\nenv\n', 0o755);
    const script = await root.copy("files/usr/libexec/lainos/pam-session", "pam-session");
    const { stdout, stderr, exitCode } = await run(
      [await asSh(root, name), "-p", script, "class=a b"],
      {
        env: {
          ...HOSTILE,
          PAM_TYPE: "open_session",
          PAM_USER: "a b",
          PAM_TTY: "tty2",
          XDG_VTNR: "2",
          XDG_SESSION_CLASS: "greeter",
        },
      },
    );
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
    const [first, ...variables] = stdout.trimEnd().split("\n");
    // It became the executable: the parent is still the one who logs in.
    expect(first).toBe(`${process.pid} pam -- class=a b`);
    expect(variables.filter((line) => !/^(PWD|SHLVL|_|OLDPWD)=/.test(line)).toSorted()).toEqual([
      "LC_ALL=C.UTF-8",
      "PAM_LEADER=",
      "PAM_RHOST=",
      "PAM_RUSER=",
      "PAM_SERVICE=",
      "PAM_TTY=tty2",
      "PAM_TYPE=open_session",
      "PAM_USER=a b",
      "PAM_XDISPLAY=",
      "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
      "XDG_SEAT=",
      "XDG_SESSION_CLASS=greeter",
      "XDG_SESSION_DESKTOP=",
      "XDG_SESSION_INCOMPLETE=",
      "XDG_SESSION_TYPE=",
      "XDG_VTNR=2",
    ]);
  });

  test("a service's command does the same", async () => {
    await using root = await FakeRoot.make();
    await root.write("usr/libexec/lainos/lainos-x", '#!/bin/sh\necho "$*"\nenv\n', 0o755);
    const helper = await root.copy("files/usr/libexec/lainos/service.sh", "service.sh");
    const script = `
      RC_SVCNAME=x; RC_VERSION=$1; lainos_notify=$2; . "${helper}"
      lainos_supervise
      lainos_notify_by 3 || :
      lainos_command lainos-x --one two
      echo "notify=\${notify:-} pidfile=$pidfile supervisor=$supervisor"
      eval "$command $command_args"
      lainos_run lainos-x three
    `;
    const sh = await asSh(root, name);
    const under = async (version: string, wish: string) => {
      const result = await run([sh, "-c", script, name, version, wish], { env: HOSTILE });
      expect(result.stderr).toBe("");
      return result.stdout
        .replaceAll(root.path, "")
        .split("\n")
        .filter((line) => !/^(PWD|SHLVL|_|OLDPWD)=/.test(line));
    };
    const environment = ["PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C.UTF-8"].toSorted();
    const expected = (notify: string, options: string) => [
      `notify=${notify} pidfile=/run/supervise-x.pid supervisor=supervise-daemon`,
      `${options}--one two`,
      ...environment,
      "three",
      ...environment,
      "",
    ];
    const sorted = (lines: string[]) => [
      ...lines.slice(0, 2),
      ...lines.slice(2, 4).toSorted(),
      ...lines.slice(4, 5),
      ...lines.slice(5, 7).toSorted(),
      ...lines.slice(7),
    ];
    expect(sorted(await under("0.63.3", ""))).toEqual(expected("", ""));
    expect(sorted(await under("0.63.3", "yes"))).toEqual(expected("fd:3", "--ready-fd 3 "));
    expect(sorted(await under("0.62", "yes"))).toEqual(expected("fd:3", "--ready-fd 3 "));
    // Older ones would not hand the descriptor down.
    expect(sorted(await under("0.61", "yes"))).toEqual(expected("", ""));
    expect(sorted(await under("0.45.2", "yes"))).toEqual(expected("", ""));
  });
});

test("every service of ours starts the executables through these functions only", async () => {
  const glob = new Bun.Glob("*");
  for await (const name of glob.scan(join(ROOT, "openrc/init.d"))) {
    const text = await Bun.file(join(ROOT, "openrc/init.d", name)).text();
    const code = text.replaceAll(/^\s*#.*$/gm, "").replace(/^\. .*$/m, "");
    expect(`${name}: ${/libexec\/lainos\/(?!rotate-logs\b)/.test(code)}`).toBe(`${name}: false`);
  }
});

test("every file that a person may edit is in the package's backup list", async () => {
  const recipe = await Bun.file(join(ROOT, "PKGBUILD")).text();
  const backup = /^backup=\(([^)]*)\)/m.exec(recipe)?.[1] ?? "";
  const listed = [...backup.matchAll(/'([^']+)'/g)].map((match) => match[1]);
  const files = [...new Bun.Glob("*").scanSync(join(ROOT, "openrc/conf.d"))].map(
    (name) => `etc/conf.d/${name}`,
  );
  for (const folder of ["apparmor.d", "lainos", "logrotate.d", "pam.d", "sysctl.d"]) {
    for (const name of new Bun.Glob(`${folder}/*`).scanSync(join(ROOT, "files/etc"))) {
      files.push(`etc/${name}`);
    }
  }
  expect(listed.toSorted()).toEqual(files.toSorted());
});
