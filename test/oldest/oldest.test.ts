/**
 * A booted system of the oldest parts that are supported, Debian 12's: OpenRC 0.45, dbus 1.14, and the
 * clients of systemd 252. The newest ones are those of test/live.
 */
import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { OLDEST_ROOT } from "../../scripts/lib/rootfs.ts";
import { LIVE_USER, type Live, SYSTEMDS_OWN, startLive } from "../../testbed/live/index.ts";
import { testServices } from "../live/service-rows.ts";
import { sessionGone } from "../live/system.ts";
import { must, show } from "../support/inside.ts";

let live: Live;

const theirs = (name: string) => `${SYSTEMDS_OWN}/${name}`;

testServices(async () => {
  live = await startLive({
    name: "test-oldest",
    recipe: OLDEST_ROOT,
    awaitSession: false,
    // The medium's settings are for a later syslog-ng: below are Debian's.
    prepare: (root) => rm(join(root, "etc/syslog-ng/syslog-ng.conf")),
  });
  return live;
});

test("its parts are of that age", async () => {
  expect(await must(live, ["rc-status", "--version"])).toContain(" 0.45");
  expect(await must(live, ["dbus-daemon", "--version"])).toContain(" 1.14.");
  for (const name of [theirs("loginctl"), "busctl", theirs("systemd-inhibit")]) {
    expect(await must(live, [name, "--version"])).toStartWith("systemd 252 ");
  }
});

test("a login is a session for its clients, which also end it", async () => {
  const inhibit = `exec ${theirs("systemd-inhibit")} --what=shutdown --mode=delay --who=oldest sleep 1000`;
  const login = live.exec(["su", "-l", LIVE_USER, "-c", inhibit]);
  try {
    const isTheirs = async () => (await live.sessions()).find(({ user }) => user === LIVE_USER);
    const { id } = await live.waitFor(isTheirs, "the session");
    expect(await show(live, "session", id, theirs("loginctl"))).toMatchObject({
      Name: LIVE_USER,
      Service: "su-l",
    });
    const status = await must(live, [theirs("loginctl"), "--no-pager", "session-status", id]);
    expect(status).toContain(`Unit: session-${id}.scope`);
    const inhibitors = () =>
      must(live, [theirs("systemd-inhibit"), "--list", "--no-legend", "--no-pager"]);
    await live.waitFor(async () => /^oldest +1000 /m.test(await inhibitors()), "its inhibitor");
    const login1 = "org.freedesktop.login1";
    const path = `/org/freedesktop/login1/session/${id}`;
    const name = ["busctl", "get-property", login1, path, `${login1}.Session`, "Name"];
    expect(await must(live, name)).toBe(`s "${LIVE_USER}"\n`);
    await must(live, [theirs("loginctl"), "terminate-session", id]);
    expect((await login).code).not.toBe(0);
    await sessionGone(live, id);
    expect(await inhibitors()).not.toContain("oldest");
  } finally {
    // Where it has failed before the session's end, so that the other tests have a system like before.
    await live.exec(["pkill", "-KILL", "-u", LIVE_USER]);
    await login;
  }
}, 60_000);
