/** protocol7-core.install and the maker of users and groups, on folders that stand for a system. */
import { describe, expect, test } from "bun:test";
import { chmod, mkdir, readdir, readlink, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { FakeRoot, run } from "./run.ts";

const LINE = "-session   optional   /usr/lib/security/pam_systemd.so";

/** As Arch has it: the module of the dropped package is called, and ours is there by its name. */
const SYSTEM_LOGIN = `#%PAM-1.0

auth       required   pam_shells.so
auth       include    system-auth
account    include    system-auth
session    optional   pam_loginuid.so
session    include    system-auth
-session   optional   pam_systemd.so
session    required   pam_env.so
`;

/** One that does not. */
const PLAIN = SYSTEM_LOGIN.replace("-session   optional   pam_systemd.so\n", "");
const WITH_LINE = SYSTEM_LOGIN.replace("-session   optional   pam_systemd.so", LINE);

/** The two lines of versions that had no module. */
const OLD_LINES = [
  "session    optional   pam_env.so conffile=/etc/security/lainos-session.conf readenv=0",
  "session    optional   pam_exec.so quiet seteuid /usr/libexec/lainos/pam-session",
] as const;

const SERVICES = [
  "cgroup-delegate",
  "lainos-apparmor",
  "lainos-machine-id",
  "lainos-ghost-units",
  "dbus",
  "lainos-notifyd",
  "lainos-net-init",
  "lainos-audio-init",
  "lainos-dbus-bridge",
  "greetd",
  "seatd",
];

/** A root with our scriptlet in it, whose commands are the host's. */
async function system() {
  const root = await FakeRoot.make();
  await root.write("etc/group", "root:x:0:\n");
  await root.write("etc/pam.d/system-login", SYSTEM_LOGIN, 0o640);
  for (const name of SERVICES)
    await root.write(`etc/init.d/${name}`, "#!/sbin/openrc-run\n", 0o755);
  await root.write("usr/libexec/lainos/sysusers", "#!/bin/sh\nexit 0\n", 0o755);
  const script = await root.copy("protocol7-core.install", "install");
  const call = (...words: string[]) => {
    // rc-update would change the host's runlevels.
    const code = `. "${script}"; command() { [ "$2" != rc-update ]; }; "$@"`;
    return run(["dash", "-c", code, "install", ...words]);
  };
  return { root, call };
}

async function runlevels(root: FakeRoot): Promise<string[]> {
  const found: string[] = [];
  const base = join(root.path, "etc/runlevels");
  for (const level of await readdir(base).catch(() => [])) {
    for (const name of await readdir(join(base, level))) {
      const target = (await readlink(join(base, level, name))).replace(root.path, "");
      expect(target).toBe(`/etc/init.d/${name}`);
      found.push(`${level}/${name}`);
    }
  }
  return found.toSorted();
}

const OURS = [
  "boot/lainos-audio-init",
  "boot/lainos-net-init",
  "default/lainos-dbus-bridge",
  "sysinit/cgroup-delegate",
  "sysinit/dbus",
  "sysinit/lainos-apparmor",
  "sysinit/lainos-ghost-units",
  "sysinit/lainos-machine-id",
  "sysinit/lainos-notifyd",
];

describe("the scriptlet", () => {
  test("installs, installs again, and removes what it did", async () => {
    const { root, call } = await system();
    await using _ = root;
    for (let time = 0; time < 2; time++) {
      const result = await call("post_install", "6.0.0-1");
      expect({ stderr: result.stderr, exitCode: result.exitCode }).toEqual({
        stderr: "",
        exitCode: 0,
      });
      expect(await root.read("etc/pam.d/system-login")).toBe(SYSTEM_LOGIN);
      expect(await runlevels(root)).toEqual(OURS);
    }
    expect((await stat(join(root.path, "etc/pam.d/system-login"))).mode & 0o777).toBe(0o640);
    expect((await call("pre_remove", "6.0.0-1")).exitCode).toBe(0);
    expect(await root.read("etc/pam.d/system-login")).toBe(SYSTEM_LOGIN);
    expect(await runlevels(root)).toEqual([]);
    expect(await readdir(join(root.path, "etc/pam.d"))).toEqual(["system-login"]);
  });

  test("does not start seatd, and takes a person's own link to it away with the script", async () => {
    const { root, call } = await system();
    await using _ = root;
    for (const name of ["seatd", "greetd"]) {
      await root.write(`usr/bin/${name}`, "#!/bin/sh\n", 0o755);
    }
    const script = await root.read("install");
    await root.write("install", script.replaceAll(" /usr/bin/", ` ${root.path}/usr/bin/`));
    await call("post_install", "6.0.0-1");
    expect(await runlevels(root)).toContain("default/greetd");
    expect(await runlevels(root)).not.toContain("default/seatd");
    const link = join(root.path, "etc/runlevels/default/seatd");
    await symlink(`${root.path}/etc/init.d/seatd`, link);
    await call("post_install", "6.0.0-1");
    expect(await runlevels(root)).toContain("default/seatd");
    await call("pre_remove", "6.0.0-1");
    expect(await runlevels(root)).toEqual([]);
  });

  test("leaves what a person decided: another runlevel, a line that is commented out", async () => {
    const { root, call } = await system();
    await using _ = root;
    await mkdir(join(root.path, "etc/runlevels/boot"), { recursive: true });
    await symlink(`${root.path}/etc/init.d/dbus`, join(root.path, "etc/runlevels/boot/dbus"));
    const edited = `${PLAIN}# ${LINE}\n`;
    await root.write("etc/pam.d/system-login", edited, 0o644);
    expect((await call("post_install", "6.0.0-1")).exitCode).toBe(0);
    expect(await root.read("etc/pam.d/system-login")).toBe(edited);
    expect(await runlevels(root)).toContain("boot/dbus");
    expect(await runlevels(root)).not.toContain("sysinit/dbus");
  });

  test("where nothing makes sessions, it is done before what a user's own file may say is read", async () => {
    const { root, call } = await system();
    await using _ = root;
    const own = "session    required   pam_env.so user_readenv=1\n";
    await root.write("etc/pam.d/system-login", `${PLAIN}${own}`, 0o640);
    for (let time = 0; time < 2; time++) {
      expect((await call("post_install", "6.0.0-1")).exitCode).toBe(0);
      expect(await root.read("etc/pam.d/system-login")).toBe(`${WITH_LINE}${own}`);
    }
    await call("pre_remove", "6.0.0-1");
    expect(await root.read("etc/pam.d/system-login")).toBe(`${PLAIN}${own}`);
    expect((await stat(join(root.path, "etc/pam.d/system-login"))).mode & 0o777).toBe(0o640);
  });

  test("an upgrade puts the module in the place of the two lines before it", async () => {
    const { root, call } = await system();
    await using _ = root;
    const older = (text: string) => root.here(`${OLD_LINES[0]}\n${text}${OLD_LINES[1]}\n`);
    await root.write("etc/pam.d/system-login", older(SYSTEM_LOGIN));
    await root.write("etc/pam.d/su-l", older("session required pam_unix.so\n"));
    const result = await call("post_upgrade", "6.0.0-2", "6.0.0-1");
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await root.read("etc/pam.d/system-login")).toBe(SYSTEM_LOGIN);
    expect(await root.read("etc/pam.d/su-l")).toBe(`session required pam_unix.so\n${LINE}\n`);
  });

  test("an upgrade changes no file in which the two lines did not count", async () => {
    const { root, call } = await system();
    await using _ = root;
    const older = root.here(`${PLAIN}${OLD_LINES[0]}\n${OLD_LINES[1]}\n`);
    const edited = [
      "session required pam_unix.so\n",
      root.here(`session required pam_unix.so\n#${OLD_LINES[1]}\n`),
    ];
    for (const text of edited) {
      await root.write("etc/pam.d/system-login", older, 0o640);
      await root.write("etc/pam.d/su-l", text);
      expect(await call("post_upgrade", "6.0.0-2", "6.0.0-1")).toMatchObject({ exitCode: 0 });
      expect(await root.read("etc/pam.d/system-login")).toBe(WITH_LINE);
      expect(await root.read("etc/pam.d/su-l")).toBe(text);
    }
  });

  test("an upgrade keeps logins sessions where a module that was not there is commented out", async () => {
    const { root, call } = await system();
    await using _ = root;
    const comment = "#-session   optional   pam_systemd.so\n";
    const older = root.here(`${comment}${PLAIN}${OLD_LINES[0]}\n${OLD_LINES[1]}\n`);
    await root.write("etc/pam.d/system-login", older, 0o640);
    expect(await call("post_upgrade", "6.0.0-2", "6.0.0-1")).toMatchObject({ exitCode: 0 });
    expect(await root.read("etc/pam.d/system-login")).toBe(`${comment}${WITH_LINE}`);
  });

  test("a last line without its newline stays a line", async () => {
    const { root, call } = await system();
    await using _ = root;
    await root.write("etc/pam.d/system-login", "auth required pam_unix.so");
    expect((await call("post_install", "6.0.0-1")).exitCode).toBe(0);
    expect(await root.read("etc/pam.d/system-login")).toBe(`auth required pam_unix.so\n${LINE}\n`);
  });

  test("a file that is a link stays one", async () => {
    const { root, call } = await system();
    await using _ = root;
    const path = "etc/pam.d/system-login";
    await root.write("etc/pam.d/the-real-one", PLAIN);
    await run(["rm", join(root.path, path)]);
    await symlink("the-real-one", join(root.path, path));
    expect((await call("post_install", "6.0.0-1")).exitCode).toBe(0);
    expect(await readlink(join(root.path, path))).toBe("the-real-one");
    expect(await root.read("etc/pam.d/the-real-one")).toBe(WITH_LINE);
  });

  test("su -l, whose list is its own, gets the line too; one that includes the others does not", async () => {
    const { root, call } = await system();
    await using _ = root;
    await root.write("etc/pam.d/su-l", "session required pam_unix.so\n");
    await call("post_install", "6.0.0-1");
    expect(await root.read("etc/pam.d/su-l")).toBe(`session required pam_unix.so\n${LINE}\n`);
    await call("pre_remove", "6.0.0-1");
    const including = "session include system-login\n";
    await root.write("etc/pam.d/su-l", including);
    await call("post_install", "6.0.0-1");
    expect(await root.read("etc/pam.d/su-l")).toBe(including);
  });

  test("without a file for the line it says which line belongs where, and fails", async () => {
    const { root, call } = await system();
    await using _ = root;
    await run(["rm", join(root.path, "etc/pam.d/system-login")]);
    const result = await call("post_install", "6.0.0-1");
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain(LINE);
    expect(await runlevels(root)).toEqual(OURS);
  });

  test("groups that cannot be made are an error", async () => {
    const { root, call } = await system();
    await using _ = root;
    await root.write("usr/libexec/lainos/sysusers", "#!/bin/sh\nexit 1\n", 0o755);
    const result = await call("post_install", "6.0.0-1");
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain("not all groups could be made");
  });
});

describe("sysusers", () => {
  /** Runs it on a line or more, with commands that only say how they were called. */
  async function make(text: string, args: string[] = []) {
    const root = await FakeRoot.make();
    await using _ = root;
    await root.write("etc/group", "root:x:0:\nvideo:x:44:\nfive:x:5:\n");
    await root.write("etc/passwd", "root:x:0:0::/root:/bin/sh\ntaken:x:100:0::/:/bin/false\n");
    for (const name of ["groupadd", "useradd", "gpasswd"]) {
      const said = `#!/bin/sh\nprintf '%s' ${name} >>"${root.path}/said"\nprintf ' [%s]' "$@" >>"${root.path}/said"\necho >>"${root.path}/said"\n`;
      await root.write(`bin/${name}`, said, 0o755);
    }
    await root.write("usr/lib/sysusers.d/a.conf", text);
    const script = await root.copy("files/usr/libexec/lainos/sysusers", "sysusers");
    await run(["sed", "-i", "s/command -v systemd-sysusers/false/", script]);
    await chmod(script, 0o755);
    const result = await run([script, ...args], {
      env: { PATH: `${root.path}/bin:/usr/bin:/bin` },
      ...(args.length > 0 ? { stdin: `${root.path.slice(1)}/usr/lib/sysusers.d/a.conf\n` } : {}),
    });
    const said = await root.read("said").catch(() => "");
    return { ...result, said: said.trimEnd().split("\n").filter(Boolean) };
  }

  test("groups that are missing are made, with their number where it is free", async () => {
    const { said, exitCode, stderr } = await make(
      "g video - -\n# no\n\ng tty 5\ng kvm -\ng lp 7 -\n",
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(said).toEqual([
      "groupadd [--system] [tty]",
      "groupadd [--system] [kvm]",
      "groupadd [--system] [--gid] [7] [lp]",
    ]);
  });

  test("a user, its group, its home, and its membership", async () => {
    const { said, exitCode } = await make(
      'u greeter - "The greeter; $HOME" /var/lib/greetd\nu! polkitd 102\nm greeter video\nr - 500-900\n'.replace(
        "; $HOME",
        "",
      ),
    );
    expect(exitCode).toBe(0);
    expect(said[0]).toBe("groupadd [--system] [greeter]");
    expect(said[1]).toMatch(
      /^useradd \[--system\] \[--no-create-home\] \[--gid\] \[greeter\] \[--comment\] \[The greeter\] \[--home-dir\] \[\/var\/lib\/greetd\] \[--shell\] \[\/usr\/s?bin\/nologin\] \[greeter\]$/,
    );
    expect(said[2]).toBe("groupadd [--system] [--gid] [102] [polkitd]");
    expect(said[3]).toContain("[--uid] [102] [--key] [SYS_UID_MAX=102] [--gid] [polkitd]");
    expect(said.at(-1)).toBe("gpasswd [--add] [greeter] [video]");
  });

  test("useradd does not warn of nobody, whose number is above the system's", async () => {
    const root = await FakeRoot.make();
    await using _ = root;
    for (const name of ["passwd", "shadow", "group", "gshadow"])
      await root.write(`etc/${name}`, "");
    await root.write("etc/login.defs", "SYS_UID_MAX 999\n");
    const real = Bun.which("useradd");
    await root.write("bin/useradd", `#!/bin/sh\nexec ${real} --prefix ${root.path} "$@"\n`, 0o755);
    await root.write("etc/group", "nobody:x:65534:\n");
    await root.write("usr/lib/sysusers.d/a.conf", "u nobody 65534 - -\n");
    const script = await root.copy("files/usr/libexec/lainos/sysusers", "sysusers");
    await run(["sed", "-i", "s/command -v systemd-sysusers/false/", script]);
    const { exitCode, stderr } = await run([script], {
      env: { PATH: `${root.path}/bin:/usr/bin:/bin` },
    });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(await root.read("etc/passwd")).toStartWith("nobody:x:65534:65534:");
  });

  test("a hook's list of files works the same", async () => {
    const { said } = await make("g render - -\n", ["--targets"]);
    expect(said).toEqual(["groupadd [--system] [render]"]);
  });

  test.each([
    ["u x $(id)", "not understood"],
    ["g %i", "specifiers"],
    ["z x", "type z"],
    ['u x - "open', "not understood"],
  ])("%s is named and left out", async (line, message) => {
    const { said, exitCode, stderr } = await make(`${line}\ng kvm\n`);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(message);
    expect(said).toEqual(["groupadd [--system] [kvm]"]);
  });
});
