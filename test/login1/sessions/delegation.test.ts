/** What a user may do in the cgroup of their session, and what not. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close, userByName } from "../../../lib/linux/index.ts";
import { callManager, createSession } from "../support/client.ts";
import { World } from "../support/world.ts";

const NOBODY = 65534;
const DAEMON = 1;

let world: World;
let bus: Connection;

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
});
afterAll(async () => {
  bus?.close();
  await world?.end();
});
/** The sessions' descriptors: a session ends when its own is closed. */
const descriptors: number[] = [];
afterEach(async () => {
  for (const fd of descriptors.splice(0)) close(fd);
  await world.reset(bus);
});

const sliceOf = (uid: number) => `/user.slice/user-${uid}.slice`;
const inTree = (path: string) => `${world.root}/sys/fs/cgroup${path}`;

/** A session of a user's: its id, its scope and its leader's pid. */
async function newSession(uid: number) {
  const leader = await world.leader();
  const { id, fd } = await createSession(bus, { uid, leader: leader.pid });
  descriptors.push(fd);
  return { id, scope: `${sliceOf(uid)}/session-${id}.scope`, leader };
}

/** Runs a script as a user in a session's scope. By bash, which says why a write failed. */
async function inSession(uid: number, scope: string, script: string) {
  const options = { user: uid, cgroup: `${scope}/leader` };
  return world.run(["bash", "-c", `cd /sys/fs/cgroup${scope} && { ${script}\n}`], options);
}

describe("a session's cgroup", () => {
  test("is the user's by the files that the kernel delegates by, and nothing above it is", async () => {
    const { scope, leader } = await newSession(NOBODY);
    const gid = userByName("nobody")?.gid;
    for (const path of [scope, `${scope}/leader`]) {
      const { uid, gid: group } = statSync(inTree(path));
      expect({ path, uid, group }).toEqual({ path, uid: NOBODY, group: gid as number });
      for (const name of ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"]) {
        expect(statSync(inTree(`${path}/${name}`)).uid).toBe(NOBODY);
      }
      for (const name of ["cgroup.freeze", "cgroup.kill", "cgroup.max.depth", "cgroup.type"]) {
        expect(statSync(inTree(`${path}/${name}`)).uid).toBe(0);
      }
    }
    for (const path of [sliceOf(NOBODY), "/user.slice"]) {
      expect(statSync(inTree(path)).uid).toBe(0);
      expect(statSync(inTree(`${path}/cgroup.procs`)).uid).toBe(0);
    }
    expect(readFileSync(`/proc/${leader.pid}/cgroup`, "utf8")).toContain(`${scope}/leader\n`);
    expect(readFileSync(inTree(`${scope}/cgroup.procs`), "utf8")).toBe("");
  });

  test("may be divided by the user, and whoever moves in it stays in the session", async () => {
    const { id, scope } = await newSession(NOBODY);
    const moved = await inSession(
      NOBODY,
      scope,
      `set -e
      for name in app.slice/x.scope session-c99.scope user.slice/user-0.slice/session-1.scope; do
        mkdir -p $name; echo $$ > $name/cgroup.procs
        grep -o 'session-.*' /proc/self/cgroup
        loginctl show-session auto -P Id
        busctl call org.freedesktop.login1 /org/freedesktop/login1 \
          org.freedesktop.login1.Manager GetUserByPID u $$
      done
      echo $$ > leader/cgroup.procs`,
    );
    expect(moved.stderr).toBe("");
    const own = `session-${id}.scope`;
    expect(moved.stdout.split("\n")).toEqual(
      ["app.slice/x.scope", "session-c99.scope", "user.slice/user-0.slice/session-1.scope"]
        .flatMap((name) => [`${own}/${name}`, id, `o "/org/freedesktop/login1/user/_${NOBODY}"`])
        .concat(""),
    );
    expect(moved.code).toBe(0);
    expect((await world.run(["loginctl", "session-status", id])).stdout).toContain("└─leader\n");
  });

  test("cannot be left, not for another session of the same user either", async () => {
    const first = await newSession(NOBODY);
    const second = await newSession(NOBODY);
    const other = await newSession(DAEMON);
    for (const target of [
      "",
      "/user.slice",
      sliceOf(NOBODY),
      second.scope,
      `${second.scope}/leader`,
      `${other.scope}/leader`,
    ]) {
      const into = `echo $$ > /sys/fs/cgroup${target}/cgroup.procs`;
      const { code, stderr } = await inSession(NOBODY, first.scope, into);
      expect({ target, failed: code !== 0 }).toEqual({ target, failed: true });
      expect(stderr).toContain("Permission denied");
    }
    // Nor does a process of the other session come over.
    const pull = `echo ${second.leader.pid} > leader/cgroup.procs`;
    expect((await inSession(NOBODY, first.scope, pull)).stderr).toContain("Permission denied");
    // And the limits of it are not for the user to change.
    for (const change of [
      "echo 99 > cgroup.max.depth",
      "echo 1 > cgroup.freeze",
      "echo threaded > leader/cgroup.type",
      "mkdir ../session-fake.scope",
      "mv leader ../leader",
    ]) {
      const { code, stderr } = await inSession(NOBODY, first.scope, change);
      expect({ change, failed: code !== 0 }).toEqual({ change, failed: true });
      expect(stderr).toMatch(/Permission denied|Operation not permitted/);
    }
  });

  test("goes with the session, whatever the user has made of it", async () => {
    const { id, scope } = await newSession(NOBODY);
    const made = await inSession(
      NOBODY,
      scope,
      String.raw`set -e
      mkdir -p 1/2/3/4/5/6/7/8/9/10/11/12
      ! mkdir 1/2/3/4/5/6/7/8/9/10/11/12/13 2> /dev/null
      mkdir "$(printf 'no\377utf8')" "$(printf 'no\377utf8')/inner" '$(name) "x"'
      mkdir -p domain/threads
      setsid sleep infinity < /dev/null > /dev/null 2>&1 &
      echo $! > domain/cgroup.procs
      echo threaded > domain/threads/cgroup.type
      setsid sh -c 'echo $$ > "$1"/inner/cgroup.procs; exec sleep infinity' sh \
        "$(printf 'no\377utf8')" < /dev/null > /dev/null 2>&1 &
      while ! grep -q . "$(printf 'no\377utf8')/inner/cgroup.procs"; do sleep 0.05; done
      ! cat domain/threads/cgroup.procs 2>&1`,
    );
    expect(made).toMatchObject({ code: 0, stderr: "" });
    expect(made.stdout).toContain("not supported");
    // What lists the processes is not put off by any of it.
    expect((await world.run(["loginctl", "session-status", id])).stdout).toContain("domain");
    await callManager(bus, "TerminateSession", "s", [id]);
    await world.until("the scope is gone", () => !existsSync(inTree(scope)));
    expect(world.log).not.toContain("error:");
  });
});
