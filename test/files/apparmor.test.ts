/** The AppArmor profiles, by AppArmor's own parser; no kernel is asked. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ensureHostPackages } from "../../scripts/host.ts";
import { run } from "./run.ts";

const FOLDER = join(import.meta.dir, "../../files/etc/apparmor.d");

test.each(readdirSync(FOLDER))(
  "%s is a profile",
  async (name) => {
    await ensureHostPackages(["apparmor_parser"]);
    const parse = ["apparmor_parser", "--skip-kernel-load", "--skip-cache"];
    const done = await run([...parse, join(FOLDER, name)]);
    expect({ code: done.exitCode, stderr: done.stderr }).toMatchObject({ code: 0 });
    const names = await run([...parse, "--names", join(FOLDER, name)]);
    expect(names.stdout.trim()).toBe(name);
  },
  120_000,
);

test("each daemon that has a sandbox has a profile", () => {
  const daemons = ["dbus-bridge", "ghost-units", "net-init", "notifyd"];
  const attached = readdirSync(FOLDER).map((name) =>
    /^profile (\S+) (\S+) /m.exec(readFileSync(join(FOLDER, name), "utf8"))?.slice(1, 3),
  );
  for (const name of daemons.map((daemon) => `lainos-${daemon}`)) {
    expect(attached).toContainEqual([name, `/usr/libexec/lainos/${name}`]);
  }
});

test.each(readdirSync(FOLDER))("%s is enforced", async (name) => {
  await ensureHostPackages(["apparmor_parser"]);
  const parse = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", "--debug"];
  const done = await run([...parse, join(FOLDER, name)]);
  expect(done.exitCode).toBe(0);
  // "complain" stands here otherwise.
  expect(`${done.stdout}${done.stderr}`).toMatch(/^Mode: *$/m);
});

test("the profile of lainos-net-init has each key of its table that the daemon itself sets", () => {
  const profile = readFileSync(join(FOLDER, "lainos-net-init"), "utf8");
  const written = [...profile.matchAll(/@\{PROC\}\/sys\/(\S+) rw,/g)].flatMap(([, rule = ""]) => {
    const [, before = "", names, after = ""] = /^(.*?)\{(.*)\}(.*)$/.exec(rule) ?? [];
    return names === undefined ? [rule] : names.split(",").map((name) => before + name + after);
  });
  const bySandbox = readFileSync(
    join(import.meta.dir, "../../files/usr/libexec/lainos/profiles/net-init"),
    "utf8",
  );
  const bound = [...bySandbox.matchAll(/\/proc\/sys\/([a-z_/]+)/g)].map(([, key = ""]) => key);
  expect(written.map((rule) => rule.replace("/**", "")).toSorted()).toEqual(bound.toSorted());
});
