/** What the greeter starts: our two sessions, and those that other packages bring. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AIROOTFS } from "../../scripts/iso/profile.ts";

const X = "[--] [:0] [vt1] [-keeptty] [-noreset] [-nolisten] [tcp]";

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "p7-session-"));
  await mkdir(join(root, "bin"));
  for (const name of ["lainos-session", "lainos-session-sway", "lainos-session-openbox"]) {
    const text = await readFile(join(AIROOTFS, "usr/local/bin", name), "utf8");
    const here = text
      .replaceAll("/usr/local/bin/", `${root}/bin/`)
      .replaceAll("/usr/libexec/lainos/", "");
    await writeFile(join(root, "bin", name), here);
    await chmod(join(root, "bin", name), 0o755);
  }
  for (const name of ["lainos-init", "xinit"]) {
    await writeFile(
      join(root, "bin", name),
      `#!/bin/sh\nprintf '%s' ${name}; printf ' [%s]' "$@"\n`,
    );
    await chmod(join(root, "bin", name), 0o755);
  }
});
afterAll(() => rm(root, { recursive: true }));

/** What becomes of a session's command line. */
async function start(words: string[], environment: Record<string, string> = {}): Promise<string> {
  const child = Bun.spawn([join(root, "bin", words[0] ?? ""), ...words.slice(1)], {
    env: { PATH: `${root}/bin:${process.env.PATH}`, HOME: root, ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  return await child.stdout.text();
}

test("ours start Sway as it is and Openbox in X, from the command and from the list", async () => {
  const openbox = `xinit [lainos-init] [openbox] ${X}`;
  expect(await start(["lainos-session-sway"])).toBe("lainos-init [sway]");
  expect(await start(["lainos-session-openbox"])).toBe(openbox);
  // As tuigreet has it for what is chosen from its list.
  const chosen = { XDG_SESSION_TYPE: "x11", XDG_SESSION_DESKTOP: "lainos-openbox" };
  expect(await start(["lainos-session", `${root}/bin/lainos-session-openbox`], chosen)).toBe(
    openbox,
  );
});

test("a command that a person types at the greeter is run as it is", async () => {
  expect(await start(["lainos-session", "lainos-init", "--version"])).toBe(
    "lainos-init [--version]",
  );
});

test("other packages' sessions get a bus and sound, and X where they need it", async () => {
  const i3 = { XDG_SESSION_TYPE: "x11", XDG_SESSION_DESKTOP: "i3", XDG_VTNR: "1" };
  expect(await start(["lainos-session", "i3"], i3)).toBe(`xinit [lainos-init] [i3] ${X}`);
  const river = { XDG_SESSION_TYPE: "wayland", XDG_SESSION_DESKTOP: "river" };
  expect(await start(["lainos-session", "river", "-c", "x"], river)).toBe("lainos-init [river]");
});
