/** files/etc/profile.d/lainos-session.sh: what a login on a terminal or by ssh gets to know. */
import { describe, expect, test } from "bun:test";
import { FakeRoot, run, SHELLS, shell } from "./run.ts";

const UID = process.getuid?.() ?? 0;
const SCRIPT = "files/etc/profile.d/lainos-session.sh";

const SESSION = `# This is private data. Do not parse.
UID=${UID}
USER=someone
ACTIVE=1
STATE=active
TYPE=tty
CLASS=user
SEAT=seat0
TTY=tty2
VTNR=2
DESKTOP="$(touch sprung)"
`;

/** Sources the script in a shell and prints the variables that it may set, and any left behind. */
async function login(
  name: string,
  setUp: (root: FakeRoot) => Promise<unknown>,
  options: { env?: Record<string, string>; flags?: string } = {},
) {
  await using root = await FakeRoot.make();
  await root.write("proc/self/cgroup", "0::/\n");
  await setUp(root);
  const script = await root.copy(SCRIPT, "session.sh", 0o644);
  const text = `
    ${options.flags ?? ""}
    . "${script}"
    env | sort
    set | sed -n 's/^\\(_lainos[a-z_]*\\).*/left behind: \\1/p'
  `;
  const result = await run([...shell(name), "-c", text], { env: options.env ?? {} });
  const lines = result.stdout.replaceAll(root.path, "").split("\n");
  return {
    ...result,
    variables: lines.filter((line) => /^(XDG_|DBUS_)/.test(line)),
    left: lines.filter((line) => line.startsWith("left behind")),
  };
}

const inSession = async (root: FakeRoot) => {
  await root.write(
    "proc/self/cgroup",
    `10:memory:/somewhere\n0::/user.slice/user-${UID}.slice/session-c3.scope\n`,
  );
  await root.write("run/systemd/sessions/c3", SESSION);
};

describe.each(SHELLS)("in %s", (name) => {
  test("a session is found by the cgroup, with set -eu", async () => {
    const result = await login(
      name,
      async (root) => {
        await inSession(root);
        await root.write(`run/user/${UID}/x`, "");
      },
      { flags: "set -eu" },
    );
    expect(result.stderr).toBe("");
    expect(result.exitCode).toBe(0);
    expect(result.variables).toEqual([
      `XDG_RUNTIME_DIR=/run/user/${UID}`,
      "XDG_SEAT=seat0",
      "XDG_SESSION_CLASS=user",
      "XDG_SESSION_ID=c3",
      "XDG_SESSION_TYPE=tty",
      "XDG_VTNR=2",
    ]);
    expect(result.left).toEqual([]);
  });

  test("what is set already stays", async () => {
    const env = { XDG_SESSION_TYPE: "wayland", XDG_RUNTIME_DIR: "/elsewhere", XDG_SEAT: "seat9" };
    const { variables } = await login(name, inSession, { env });
    expect(variables).toEqual([
      "XDG_RUNTIME_DIR=/elsewhere",
      "XDG_SEAT=seat9",
      "XDG_SESSION_CLASS=user",
      "XDG_SESSION_ID=c3",
      "XDG_SESSION_TYPE=wayland",
      "XDG_VTNR=2",
    ]);
  });

  test("a session of somebody else is not named", async () => {
    const { variables, exitCode } = await login(name, async (root) => {
      await inSession(root);
      await root.write(
        "run/systemd/sessions/c3",
        SESSION.replace(`UID=${UID}\n`, `UID=${UID + 1}\n`),
      );
    });
    expect(exitCode).toBe(0);
    expect(variables).toEqual([]);
  });

  test.each([
    ["no session", "0::/openrc.sshd\n"],
    ["a session without a file", "0::/user.slice/user-1.slice/session-7.scope\n"],
    ["a name that no session has", "0::/user.slice/session-..%2fc3.scope\n"],
    ["no line at all", ""],
  ])("%s is no error, with set -eu", async (_, cgroup) => {
    const result = await login(name, (root) => root.write("proc/self/cgroup", cgroup), {
      flags: "set -eu",
    });
    expect(result).toMatchObject({ stderr: "", exitCode: 0, variables: [], left: [] });
  });

  test("a process below the scope is in the session too", async () => {
    const { variables } = await login(name, async (root) => {
      await inSession(root);
      await root.write("proc/self/cgroup", "0::/user.slice/u.slice/session-c3.scope/app/x\n");
    });
    expect(variables).toContain("XDG_SESSION_ID=c3");
  });
});
