/** lainos-notifyd's state file, each key of it damaged in a dozen ways, and what may stand in its place. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLogger } from "../../lib/cli/index.ts";
import { startTimeOf } from "../../lib/linux/index.ts";
import { SpareDescriptors } from "../../lib/notify/failures/spare-descriptors.ts";
import { restoreEntries } from "../../lib/notify/services/restore.ts";
import { placesBelow, ServiceLookup } from "../../lib/notify/services/service-of-process.ts";
import { findEntries } from "../../lib/notify/state/state-file.ts";
import { RunFolder, saying } from "../notify/support/run-folder.ts";
import {
  cleanUp,
  later,
  newFolder,
  newName,
  newRoot,
  Service,
  shown,
  speaker,
  start,
} from "../notify/support/world.ts";

setDefaultTimeout(240_000);
afterEach(cleanUp);

const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

type Json = Record<string, unknown>;

/** Values in the place of a good one; undefined leaves the key out. */
const DAMAGES: readonly unknown[] = [
  undefined,
  null,
  true,
  false,
  -1,
  0,
  1,
  1.5,
  1e300,
  4_294_967_295,
  "",
  "x",
  "1",
  "-1",
  "ready\n",
  "\u0001\ufffd\ufffe",
  "y".repeat(100_000),
  [],
  {},
];

/** Every key that an entry may have. */
const KEYS = [
  ...["service", "pid", "startTime", "command", "uid", "state", "since", "status", "access"],
  ...["told", "errno", "busError", "varlinkError", "exitStatus", "watchdogUsec"],
  ...["watchdogMissed", "extendedUntil", "reloadBegan", "fds"],
] as const;

/** Words that give a service an entry with every key but `told`. */
const WORDS =
  "READY=1\\nSTATUS=here\\nNOTIFYACCESS=all\\nERRNO=2\\nBUSERROR=a.b\\nVARLINKERROR=a.b.C\\nEXIT_STATUS=3\\n" +
  "WATCHDOG_USEC=3600000000";

/** Two services and a user's process, what was written down of them, and a look at it again. */
async function world() {
  const root = newRoot();
  const socket = join(newFolder(), "notify");
  const daemon = await start(socket, "--root", root);
  const [one, other] = [new Service(root, newName()), new Service(root, newName())];
  const mains = [await one.process(socket), await other.process(socket)] as const;
  for (const [index, service] of [one, other].entries()) {
    const main = mains[index as 0 | 1];
    service.notePid(main.pid);
    // By itself, so that the entries have `told`, which root's word makes.
    expect(await main.tell(saying(`MAINPID=${main.pid}`))).toBe("1");
    expect(await main.tell(saying(WORDS))).toBe("1");
    expect(await main.tell(saying("RELOADING=1\\nMONOTONIC_USEC=7"))).toBe("1");
    expect(await main.tell(saying("READY=1"))).toBe("1");
    // A new state would end it.
    expect(await main.tell(saying("EXTEND_TIMEOUT_USEC=60000000"))).toBe("1");
  }
  const user = await speaker(socket, 'send(b"STATUS=of a user")', NOBODY);
  // A service's barrier has all of it written down.
  expect(await mains[0].tell(saying("STATUS=here"))).toBe("1");
  await daemon.stop("SIGKILL");
  const written = JSON.parse(await Bun.file(daemon.state).text()) as { senders: Json[] };
  const log = createLogger("test", false, () => true);
  const spare = new SpareDescriptors();
  later(() => spare.end());
  const lookup = new ServiceLookup(placesBelow(root), log, spare);
  const restore = (senders: unknown) => {
    writeFileSync(daemon.state, JSON.stringify({ ...written, senders }));
    return restoreEntries(daemon.state, lookup, log);
  };
  const entryOf = (is: (entry: Json) => boolean) => written.senders.find(is) as Json;
  return {
    ...{ root, socket, daemon, one, other, mains, user, lookup, restore, written },
    entries: {
      one: entryOf(({ service }) => service === one.name),
      other: entryOf(({ service }) => service === other.name),
      user: entryOf(({ pid }) => pid === user.pid),
    },
  };
}

/** The entry with another value for a key. */
function damaged(entry: Json, key: string, value: unknown): Json {
  const { [key]: _, ...rest } = entry;
  return value === undefined ? rest : { ...rest, [key]: value };
}

describe("each key damaged", () => {
  test("costs no other entry, and puts nothing down to a wrong service or user", async () => {
    const { one, other, mains, user, lookup, restore, entries, written } = await world();
    expect(Object.keys(entries.one).toSorted()).toEqual(
      KEYS.filter((key) => !["watchdogMissed"].includes(key)).toSorted(),
    );
    const whole = restore(written.senders);
    const [wholeOne, wholeOther, wholeUser] = whole;
    expect(whole.map(({ pid }) => pid)).toEqual([mains[0].pid, mains[1].pid, user.pid]);
    let count = 0;
    for (const key of KEYS) {
      for (const value of [...DAMAGES, other.name, mains[1].pid, entries.other.startTime]) {
        count++;
        const what = `${key}: ${JSON.stringify(value)?.slice(0, 50)}`;
        const found = restore([damaged(entries.one, key, value), entries.other, entries.user]);
        const mine = found.find(({ service }) => service === one.name);
        const rest = found.filter((entry) => entry !== mine);
        // The others are what they were.
        expect({ what, rest }).toEqual({ what, rest: [wholeOther, wholeUser] as typeof rest });
        // What its process says of it is as before, or not known any more.
        expect({ what, found: mine !== undefined }).toEqual({ what, found: true });
        expect([mains[0].pid, undefined]).toContain(mine?.pid as never);
        expect({ what, uid: mine?.uid }).toEqual({ what, uid: 0 });
        if (mine?.pid !== undefined) {
          expect({ what, start: String(startTimeOf(mine.pid)) }).toEqual({
            what,
            start: mine.startTime as string,
          });
          expect(lookup.find({ pid: mine.pid, uid: 0, gid: 0 })?.service).toBe(one.name);
        }
        // A time that is well-formed and another is that of another process.
        const isOtherProcess = key === "startTime" && /^\d+$/.test(String(value));
        if (!isOtherProcess && typeof value !== "number") {
          expect({ what, pid: mine?.pid }).toEqual({ what, pid: mains[0].pid });
        }
        for (const kept of KEYS) {
          if (kept === key || ["pid", "startTime"].includes(key)) continue;
          const now: unknown = mine?.[kept];
          const before: unknown = wholeOne?.[kept];
          expect({ what, kept, now }).toEqual({ what, kept, now: before });
        }
      }
    }
    expect(count).toBeGreaterThan(400);
  });

  test("of a sender of no service it costs that one alone", async () => {
    const { user, mains, restore, entries, one, other } = await world();
    const [, , wholeUser] = restore([entries.one, entries.other, entries.user]);
    for (const key of KEYS) {
      for (const value of [...DAMAGES, other.name, mains[0].pid]) {
        const what = `${key}: ${JSON.stringify(value)?.slice(0, 50)}`;
        const found = restore([entries.one, damaged(entries.user, key, value), entries.other]);
        const named = found.filter(({ service }) => service !== undefined);
        expect({ what, services: named.map(({ service }) => service) }).toEqual({
          what,
          services: [one.name, other.name],
        });
        expect({ what, pids: named.map(({ pid }) => pid) }).toEqual({
          what,
          pids: mains.map(({ pid }) => pid),
        });
        for (const left of found.filter(({ service }) => service === undefined)) {
          expect({ what, pid: left.pid, uid: left.uid }).toEqual({
            what,
            pid: user.pid,
            uid: wholeUser?.uid as number,
          });
        }
      }
    }
  });

  test("nothing of an entry may be in the place of it", async () => {
    const { restore, entries, mains } = await world();
    for (const value of [null, true, 0, "x", [], [[]], {}, entries.one.service]) {
      const found = restore([value, entries.one, value, entries.other, value]);
      expect(found.map(({ pid }) => pid)).toEqual(mains.map(({ pid }) => pid));
    }
  });

  test("an entry that is there twice counts once, and the one whose process lives", async () => {
    const { restore, entries, mains, one } = await world();
    const dead = { ...entries.one, pid: 4_194_303, startTime: "1", status: "dead" };
    for (const senders of [
      [dead, entries.one],
      [entries.one, dead],
      [entries.one, { ...entries.one, status: "again" }],
    ]) {
      expect(restore(senders)).toMatchObject([
        { service: one.name, pid: mains[0].pid, status: "here" },
      ]);
    }
  });

  test("the real daemon starts with it, and goes on as it should", async () => {
    const { root, socket, daemon, one, other, mains, user, entries } = await world();
    for (const [index, key] of KEYS.entries()) {
      const value = DAMAGES[index % DAMAGES.length];
      const senders = [damaged(entries.one, key, value), entries.other, entries.user];
      writeFileSync(daemon.state, JSON.stringify({ form: 1, senders }));
      const next = await start(socket, "--root", root, "--state", daemon.state);
      await mains[0].reconnect();
      const what = `${key}: ${JSON.stringify(value)?.slice(0, 50)}`;
      expect({ what, said: await mains[0].tell(saying("STATUS=again")) }).toEqual({
        what,
        said: "1",
      });
      const now = shown(daemon.state);
      expect(now.map(({ pid }) => pid).toSorted()).toEqual(
        [mains[0].pid, mains[1].pid, user.pid].toSorted(),
      );
      expect(now.find(({ service }) => service === one.name)).toMatchObject({
        pid: mains[0].pid,
        status: "again",
      });
      expect(now.find(({ service }) => service === other.name)).toMatchObject({
        state: "ready",
        status: "here",
      });
      expect(now.find(({ pid }) => pid === user.pid)).toMatchObject({ status: "of a user" });
      expect({ what, ended: await next.stop() }).toEqual({ what, ended: 0 });
    }
  });
});

describe("in the place of the file", () => {
  const PLACES: readonly (readonly [what: string, script: string])[] = [
    ["a link", 'ln -s /etc/passwd "$1"'],
    ["a link in a circle", 'ln -s "$1" "$1"'],
    ["a fifo", 'mkfifo "$1"'],
    ["a device", 'mknod "$1" c 1 5'],
    ["noise", 'head -c 3000 /dev/urandom >"$1"'],
    ["nothing in it", ': >"$1"'],
    ["half of it", 'printf %s "$2" | head -c 60 >"$1"'],
    ["another form", 'echo "{\\"form\\":2,\\"senders\\":[]}" >"$1"'],
    ["no senders", 'echo "{\\"form\\":1,\\"senders\\":{}}" >"$1"'],
    ["null", 'echo null >"$1"'],
    ["a list", 'echo "[]" >"$1"'],
    ["a file without an end", 'head -c 9000000 /dev/zero >"$1"'],
  ];

  test.each(PLACES)(
    "%s: it is named in one line, and a new one is written",
    async (_what, script) => {
      const run = await RunFolder.make();
      const first = await run.start();
      const { name, main } = await run.service();
      expect(await main.tell(saying("READY=1"))).toBe("1");
      await first.stop("SIGKILL");
      run.run("mount -o remount,size=32M /run");
      run.run(`set -- ${run.paths.state} "$(cat ${run.paths.state})"; rm "$1"; ${script}`);
      const next = await run.start();
      expect(next.text()).toContain("is not what lainos-notifyd writes: starting without it");
      expect(next.text().trim().split("\n").length).toBeLessThanOrEqual(3);
      await main.reconnect();
      expect(await main.tell(saying("READY=1\\nSTATUS=anew"))).toBe("1");
      expect(findEntries(run.state)).toMatchObject([
        { entry: { service: name, status: "anew", pid: main.pid }, damaged: [] },
      ]);
      expect(await next.stop()).toBe(0);
    },
  );
});
