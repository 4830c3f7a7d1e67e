/** What `bun run boot` reads on the first terminal of a machine. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { asksForName, sessionsOn } from "../../testbed/boot/session.ts";

/** tuigreet 0.9.1 with our configuration, its frames left out as they are on the kernel's screen. */
const FOOT =
  "ESC Reset F2 Change command F3 Choose session F12 Power CMD /usr/local/bin/lainos-session-sway";
const TUIGREET = `                           Mon, 30 Nov 2026 - 23:08
         Authenticate into lainos
                      LainOS: liveuser needs no password
          Username:
${FOOT}
`;
const MENU = `                           Mon, 30 Nov 2026 - 23:08
         Change session
          Openbox
          Sway
${FOOT}
`;

test("the greeter asks for a name, and a menu, a getty or a boot does not", () => {
  expect(asksForName(TUIGREET)).toBe(true);
  expect(asksForName(MENU)).toBe(false);
  expect(asksForName("LainOS layer 02 (tty1)\n\nlainos login:\n")).toBe(false);
  expect(asksForName(" * Starting greetd ...                 [ ok ]\n")).toBe(false);
});

test("tuigreet's sessions are counted in the order of its menu", () => {
  expect(sessionsOn(MENU)).toEqual(["Openbox", "Sway"]);
  expect(sessionsOn(TUIGREET)).toEqual([]);
});

test("what a person can mend begins with the command's own name", async () => {
  const empty = await mkdtemp(join(tmpdir(), "p7-boot-"));
  try {
    const main = resolve(import.meta.dir, "../../testbed/boot/main.ts");
    const child = Bun.spawn([process.execPath, main], {
      cwd: empty,
      stdio: ["ignore", "ignore", "pipe"],
    });
    expect(await child.stderr.text()).toStartWith("boot: build/iso has no image: make one by ");
    expect(await child.exited).toBe(1);
  } finally {
    await rm(empty, { recursive: true });
  }
});
