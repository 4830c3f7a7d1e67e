/** The VT of an X display, by real X servers: one whose controlling terminal is a VT, and one without. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { close } from "../../lib/linux/index.ts";
import { connectStream } from "../../lib/linux/sockets/socket.ts";
import { hasVts } from "../../lib/login1/hardware/vt.ts";
import { vtOfDisplay } from "../../lib/session/display-vt.ts";
import { sessionRequest } from "../../lib/session/pam-request.ts";
import { holdVts } from "../login1/support/console.ts";
import { readUntil } from "../support/read-until.ts";
import { unusedDisplay } from "../support/x-display.ts";
import { afterwards, cleanUp } from "./support.ts";

cleanUp();

/** One that no other test uses. Nothing is shown on it: it is only a terminal. */
const VT = 41;

/** Starts an X server. */
async function xServer(command: string[] = [], options: string[] = []) {
  const display = unusedDisplay();
  const server = Bun.spawn(
    [...command, "Xvfb", display, "-displayfd", "1", "-nolisten", "tcp", ...options],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    },
  );
  afterwards(async () => {
    server.kill();
    server.kill("SIGCONT");
    await server.exited;
  });
  // It says its number when it listens.
  await readUntil(server.stdout, /\n/);
  return { server, display };
}

test("a display without a server, of another machine, or that is none has no VT", () => {
  for (const display of [":987654", "far.example:0", "unix:0", ":", ":x", ""]) {
    expect(vtOfDisplay(display)).toBe(0);
  }
});

test("what somebody has put where a server would be is none", () => {
  const folder = "/tmp/.X11-unix";
  const paths = [`${folder}/X987653`, `${folder}/X987652`];
  mkdirSync(folder, { recursive: true, mode: 0o1777 });
  const [loop = "", directory = ""] = paths;
  afterwards(() => paths.forEach((path) => void rmSync(path, { recursive: true, force: true })));
  symlinkSync(loop, loop);
  mkdirSync(directory);
  for (const display of [":987653", ":987652"]) expect(vtOfDisplay(display)).toBe(0);
});

test("a server without a terminal of its own has none", async () => {
  const { display } = await xServer(["setsid", "--wait"]);
  expect(vtOfDisplay(display)).toBe(0);
});

test("nor has one that answers nobody, and nobody waits for it", async () => {
  const { server, display } = await xServer([], ["-nolisten", "local"]);
  server.kill("SIGSTOP");
  // As many as it takes to fill the queue of those who wait.
  const path = `/tmp/.X11-unix/X${display.slice(1)}`;
  for (let isFull = false; !isFull; ) {
    try {
      const one = connectStream(path);
      afterwards(() => close(one));
    } catch (error) {
      expect(error).toMatchObject({ code: "EAGAIN" });
      isFull = true;
    }
  }
  expect(vtOfDisplay(display)).toBe(0);
});

describe.skipIf(!hasVts())("on a VT", () => {
  let giveBack: () => void;
  beforeAll(async () => {
    giveBack = await holdVts();
  });
  afterAll(() => giveBack());
  const onVt = ["sh", "-c", `exec setsid --ctty --wait "$@" </dev/tty${VT}`, "sh"];

  test.each([
    ["by its file", ["-nolisten", "local"]],
    ["by its abstract socket", ["-listen", "local"]],
  ])("a server is found %s", async (_, options) => {
    const { display } = await xServer(onVt, options);
    expect(vtOfDisplay(display)).toBe(VT);
    expect(vtOfDisplay(`${display}.0`)).toBe(VT);

    const of = (items: Record<string, string>) => {
      const made = sessionRequest({ PAM_SERVICE: "xdm", ...items }, 1000, 42);
      return made && { seat: made.seat, vtnr: made.vtnr, display: made.display };
    };
    const there = { seat: "seat0", vtnr: VT, display };
    expect(of({ PAM_TTY: display })).toEqual(there);
    expect(of({ PAM_XDISPLAY: display, PAM_TTY: "x" })).toEqual(there);
    expect(of({ PAM_TTY: display, XDG_SEAT: "seat0" })).toEqual(there);
    // What is said is believed, another seat has no VTs, and who is far away sits at none.
    expect(of({ PAM_TTY: display, XDG_VTNR: "3" })).toEqual({ seat: "", vtnr: 3, display });
    expect(of({ PAM_TTY: display, XDG_SEAT: "seat-1" })).toEqual({
      ...there,
      ...{ seat: "seat-1", vtnr: 0 },
    });
    expect(of({ PAM_TTY: display, PAM_RHOST: "far.example" })).toEqual({
      ...there,
      ...{ seat: "", vtnr: 0 },
    });
    expect(of({ PAM_TTY: "pts/1", PAM_SERVICE: "su-l", PAM_XDISPLAY: display })).toEqual({
      ...there,
      ...{ seat: "", vtnr: 0 },
    });
  });
});
