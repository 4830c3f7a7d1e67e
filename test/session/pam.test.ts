/** lainos-init pam for real, with a shell as the PAM application, against a stand-in for login1. */
import { beforeAll, expect, test } from "bun:test";
import { openSync } from "node:fs";
import { join } from "node:path";
import { Variant } from "../../lib/dbus/index.ts";
import { pidOfPidfd } from "../../lib/linux/index.ts";
import { createByVarlink, releaseByVarlink } from "../../lib/session/login1-varlink.ts";
import { sessionRequest } from "../../lib/session/pam-request.ts";
import {
  type Answer,
  afterwards,
  BusError,
  cleanUp,
  folder,
  lainosInit,
  nobody,
  standInForLogin1,
  systemBus,
} from "./support.ts";

cleanUp();

let init = "";
beforeAll(async () => {
  init = await lainosInit();
});

/** Runs `lainos-init pam` as the child of a shell, which stands for the PAM application. */
async function pam(
  items: Record<string, string>,
  address = "unix:path=/nowhere/bus",
  line: string[] = [],
) {
  const leader = Bun.spawn(["sh", "-c", '"$0" pam -- "$@"; exit $?', init, ...line], {
    env: { PATH: "/usr/bin:/bin", DBUS_SYSTEM_BUS_ADDRESS: address, ...items },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, status] = await Promise.all([
    leader.stdout.text(),
    leader.stderr.text(),
    leader.exited,
  ]);
  return { leader: leader.pid, out, err, status };
}

const open = { PAM_TYPE: "open_session", PAM_USER: "nobody", PAM_SERVICE: "greetd" };
const shut = { ...open, PAM_TYPE: "close_session" };

const sessionLedBy = (leader: number) => ({
  Id: new Variant("s", "c7"),
  User: new Variant("(uo)", [nobody.uid, "/org/freedesktop/login1/user/_65534"]),
  Seat: new Variant("(so)", ["seat0", "/org/freedesktop/login1/seat/seat0"]),
  Leader: new Variant("u", leader),
});

test("open_session registers the user's session, led by the PAM application", async () => {
  const address = await systemBus();
  const placeholder = openSync("/dev/null", "r");
  let ledBy = 0;
  const created: Answer = ([, pidfd]) => {
    ledBy = pidOfPidfd(Number(pidfd));
    return [
      "soshusub",
      ["c7", "/s/c7", "/run/user/65534", placeholder, nobody.uid, "seat0", 1, false],
    ];
  };
  const { calls } = await standInForLogin1(address, { CreateSessionWithPIDFD: created });
  const items = {
    ...open,
    PAM_TTY: "/dev/tty1",
    XDG_SEAT: "seat0",
    XDG_VTNR: "1",
    XDG_SESSION_TYPE: "wayland",
    XDG_SESSION_CLASS: "user",
    XDG_SESSION_DESKTOP: "sway",
  };
  const { leader, out, err, status } = await pam(items, address, ["class=greeter", "debug"]);
  expect({ err, status }).toEqual({ err: "", status: 0 });
  expect(ledBy).toBe(leader);
  // It has no runtime directory here, which is not to be named then.
  expect(out.trimEnd().split("\n")).toEqual([
    "XDG_SESSION_ID=c7",
    "XDG_SESSION_TYPE=wayland",
    "XDG_SESSION_CLASS=user",
    "XDG_SEAT=seat0",
    "XDG_VTNR=1",
    "XDG_SESSION_DESKTOP=sway",
  ]);
  expect(calls).toEqual([
    {
      member: "CreateSessionWithPIDFD",
      body: [
        nobody.uid,
        expect.any(Number),
        "greetd",
        "wayland",
        "user",
        "sway",
        "seat0",
        1,
        "tty1",
        "",
        false,
        "",
        "",
        0n,
        [],
      ],
    },
  ]);
});

test("an orphan registers nobody: whoever has taken it in logs nobody in", async () => {
  const address = await systemBus();
  const { calls } = await standInForLogin1(address, {});
  for (const items of [open, shut]) {
    const { leader, err, status } = await pam({ ...items, PAM_LEADER: "1234567" }, address);
    expect(err).toContain(`the PAM application is gone (our parent is ${leader})`);
    expect(status).not.toBe(0);
  }
  expect(calls).toEqual([]);
});

test("SessionBusy is success: su inside a session gets no second one", async () => {
  const address = await systemBus();
  await standInForLogin1(address, {
    CreateSessionWithPIDFD: () => {
      throw new BusError("org.freedesktop.login1.SessionBusy", "already in a session");
    },
  });
  const { out, err, status } = await pam(open, address);
  expect({ out, err, status }).toEqual({ out: "", err: "", status: 0 });
});

test("close_session ends the session that the PAM application leads", async () => {
  const address = await systemBus();
  let leader = 0;
  const { calls } = await standInForLogin1(address, {
    GetSessionByPID: ([pid]) => {
      leader = Number(pid);
      return ["o", ["/s/c7"]];
    },
    GetAll: () => ["a{sv}", [sessionLedBy(leader)]],
    ReleaseSession: () => ["", []],
  });
  const result = await pam(shut, address);
  expect(result).toEqual({ leader, out: "", err: "", status: 0 });
  expect(calls.at(-1)).toEqual({ member: "ReleaseSession", body: ["c7"] });
});

test("close_session of su leaves the session around it alone", async () => {
  const address = await systemBus();
  const { calls } = await standInForLogin1(address, {
    GetSessionByPID: () => ["o", ["/s/c7"]],
    GetAll: () => ["a{sv}", [sessionLedBy(1)]],
    ReleaseSession: () => ["", []],
  });
  expect((await pam(shut, address)).status).toBe(0);
  expect(calls.map(({ member }) => member)).toEqual(["GetSessionByPID", "GetAll"]);
});

test("close_session where there is no session is success", async () => {
  const address = await systemBus();
  await standInForLogin1(address, {
    GetSessionByPID: () => {
      throw new BusError("org.freedesktop.login1.NoSessionForPID", "none");
    },
  });
  const { err, status } = await pam(shut, address);
  expect({ err, status }).toEqual({ err: "", status: 0 });
});

test.each([
  ["no bus", open, "the session of nobody is not registered: cannot connect to the message bus"],
  ["an unknown user", { ...open, PAM_USER: "no-such-user" }, 'has no "no-such-user"'],
  ["no user", { PAM_TYPE: "open_session" }, "PAM_USER is not set"],
  ["no PAM_TYPE", {}, "PAM_TYPE is not set"],
  ["another PAM_TYPE", { ...open, PAM_TYPE: "auth" }, 'PAM_TYPE is "auth"'],
])("%s: one line and status 1", async (_, items, reason) => {
  const { err, status } = await pam(items as Record<string, string>);
  expect(err).toStartWith("lainos-init");
  expect(err).toContain(reason);
  expect(err.trimEnd().split("\n")).toHaveLength(1);
  expect(status).toBe(1);
});

test("a bridge that is down, and one that refuses, are one line and status 1", async () => {
  const address = await systemBus();
  const down = await pam(open, address);
  expect(down.err).toContain("is lainos-dbus-bridge running?");
  expect(down.status).toBe(1);
  await standInForLogin1(address, {
    CreateSessionWithPIDFD: () => {
      throw new BusError("org.freedesktop.DBus.Error.AccessDenied", "root alone may");
    },
  });
  const refused = await pam(open, address);
  expect(refused.err).toContain("the session of nobody is not registered: root alone may");
  expect(refused.status).toBe(1);
});

test("a bridge that ends before it has answered is asked again", async () => {
  const path = join(folder(), "login1");
  let calls = 0;
  const server = Bun.listen({
    unix: path,
    socket: {
      data(socket) {
        calls++;
        socket.end();
      },
    },
  });
  afterwards(() => server.stop(true));
  const request = sessionRequest(open, nobody.uid, process.pid);
  if (!request) throw new Error("there is to be a session");
  expect(await createByVarlink(request, 5000, path)).toBeUndefined();
  expect(await releaseByVarlink("c1", 5000, path)).toBe(false);
  expect(calls).toBe(2);
  server.stop(true);
  expect(await createByVarlink(request, 5000, path)).toBeUndefined();
});

test("class none asks nobody: there is no bus to be found", async () => {
  const result = await pam({ ...open, XDG_SESSION_CLASS: "none" });
  expect(result).toMatchObject({ out: "", err: "", status: 0 });
  expect(await pam(open, undefined, ["class=none"])).toMatchObject({ out: "", err: "", status: 0 });
});

test("without root it says who is to run it", async () => {
  const child = Bun.spawn(
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", init, "pam"],
    { env: { ...open }, cwd: "/", stdout: "pipe", stderr: "pipe" },
  );
  expect(await child.stderr.text()).toContain("pam is run by pam_systemd.so, as root");
  expect(await child.exited).toBe(1);
});
