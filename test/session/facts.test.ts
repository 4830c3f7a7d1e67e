import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseState } from "../../lib/sd-login/index.ts";
import { factsFromTraces, sessionOfCgroup } from "../../lib/session/facts.ts";
import { cleanUp, folder } from "./support.ts";

cleanUp();

const STATE = `# This is private data. Do not parse.
UID=1000
USER=liveuser
ACTIVE=1
STATE=active
REMOTE=0
TYPE=wayland
CLASS=user
SEAT=seat0
VTNR=7
SERVICE="a \\"b\\" \\$c"
`;

function sessionFiles(id: string, text: string): string {
  const path = folder();
  writeFileSync(join(path, id), text);
  return path;
}

const scope = "/user.slice/user-1000.slice/session-c1.scope";

describe("without login1", () => {
  test("the cgroup names the session, and its state file says the rest", () => {
    expect(
      factsFromTraces({
        uid: 1000,
        environment: { XDG_SESSION_ID: "c9", XDG_SEAT: "seat9" },
        cgroup: scope,
        sessionFiles: sessionFiles("c1", STATE),
      }),
    ).toEqual({ id: "c1", uid: 1000, seat: "seat0", vtnr: 7, type: "wayland", class: "user" });
  });

  test("the environment names it where the cgroup does not", () => {
    const facts = factsFromTraces({
      uid: 1000,
      environment: { XDG_SESSION_ID: "c1" },
      cgroup: "/openrc.greetd",
      sessionFiles: sessionFiles("c1", STATE),
    });
    expect(facts).toMatchObject({ id: "c1", seat: "seat0", vtnr: 7 });
  });

  test("without a state file the environment says all of it, but not a greeter's class", () => {
    const facts = factsFromTraces({
      uid: 1000,
      environment: {
        XDG_SESSION_ID: "c1",
        XDG_SEAT: "seat0",
        XDG_VTNR: "2",
        XDG_SESSION_TYPE: "tty",
        XDG_SESSION_CLASS: "greeter",
      },
      cgroup: undefined,
      sessionFiles: folder(),
    });
    expect(facts).toEqual({
      id: "c1",
      uid: 1000,
      seat: "seat0",
      vtnr: 2,
      type: "tty",
      class: "user",
    });
  });

  test("another user's session, left in the environment by su, is none of ours", () => {
    const traces = {
      uid: 1001,
      environment: { XDG_SESSION_ID: "c1" },
      cgroup: scope,
      sessionFiles: sessionFiles("c1", STATE),
    };
    expect(factsFromTraces(traces)).toBeUndefined();
  });

  test.each(["../../etc/passwd", "", "c1/x", "a b"])("%j is no session", (id) => {
    const environment = { XDG_SESSION_ID: id };
    const sessionFiles = folder();
    expect(factsFromTraces({ uid: 0, environment, cgroup: "/", sessionFiles })).toBeUndefined();
  });

  test("malformed values are left out", () => {
    const text = "UID=1000\nSEAT=../x\nVTNR=99\nTYPE=We Ird\nCLASS=\nno assignment\n";
    expect(
      factsFromTraces({
        uid: 1000,
        environment: {},
        cgroup: `${scope}/app`,
        sessionFiles: sessionFiles("c1", text),
      }),
    ).toEqual({
      id: "c1",
      uid: 1000,
      seat: undefined,
      vtnr: 0,
      type: "unspecified",
      class: "user",
    });
  });

  test("a quoted value is unescaped", () => {
    expect(parseState(STATE).get("SERVICE")).toBe('a "b" $c');
  });

  test.each([
    [scope, { id: "c1", uid: 1000 }],
    [`${scope}/app.scope`, { id: "c1", uid: 1000 }],
    ["/user.slice/user-1000.slice", undefined],
    ["/x/user.slice/user-1000.slice/session-c1.scope", undefined],
    ["/user.slice/user-1000.slice/session-c1.scopes", undefined],
  ])("cgroup %s", (path, expected) => {
    expect(sessionOfCgroup(path)).toEqual(expected);
  });
});
