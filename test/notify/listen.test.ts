/** The sockets that root opens, and a daemon that is not root and receives at them. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { close } from "../../lib/linux/index.ts";
import { fetchDescriptors } from "../../lib/notify/index.ts";
import { until } from "../support/until.ts";
import {
  COMMAND,
  cleanUp,
  later,
  newFolder,
  newName,
  newRoot,
  python,
  Service,
  shown,
  shownOf,
} from "./support/world.ts";

setDefaultTimeout(60_000);
afterEach(cleanUp);

const NOBODY = 65534;
const DROP = [
  ...["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--no-new-privs"],
  ...["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"],
];

/** Starts it as the sandbox does: sockets by root, and the rest by nobody without a capability. */
async function startAsNobody(folder: string, root: string, state: string) {
  const socket = join(folder, "notify");
  const store = join(folder, "fdstore");
  const daemon = ["bun", COMMAND, "--state", state, "--root", root, "--syslog", "/nothing"];
  const log = join(newFolder(), "log");
  writeFileSync(log, "");
  const script = 'exec "$@" 3</dev/null 4</dev/null 5</dev/null 7</dev/zero 2>"$0"';
  const listen = ["bun", COMMAND, "listen", "--socket", socket, "--store", store, "--keep", "7"];
  const own = ["/usr/bin/env", "LC_ALL=C", ...DROP, ...daemon];
  const child = Bun.spawn(["sh", "-c", script, log, ...listen, "--", ...own]);
  later(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  await until(
    "it receives",
    () => readFileSync(log, "utf8"),
    (text) => text.includes("receiving at") || child.exitCode !== null,
  );
  if (child.exitCode !== null) throw new Error(readFileSync(log, "utf8"));
  return { child, socket, store, state, log };
}

test("a daemon without any right receives, keeps and hands back at sockets of root's", async () => {
  const root = newRoot();
  const folder = newFolder();
  const state = join(newFolder(), "state", "state.json");
  mkdirSync(join(state, ".."));
  chownSync(join(state, ".."), NOBODY, NOBODY);
  const daemon = await startAsNobody(folder, root, state);
  const status = readFileSync(`/proc/${daemon.child.pid}/status`, "utf8");
  expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
    expect(status).toMatch(new RegExp(`^${set}:\t0+$`, "m"));
  }
  for (const path of [daemon.socket, daemon.store]) {
    const { uid, mode } = lstatSync(path);
    expect({ uid, mode: mode & 0o7777 }).toEqual({ uid: 0, mode: 0o666 });
  }
  // What it was to pass on besides.
  expect(lstatSync(`/proc/${daemon.child.pid}/fd/7`).isSymbolicLink()).toBe(true);
  const service = new Service(root, newName(), "lainos_fdstore_max=8\n");
  const main = await service.process(daemon.socket);
  service.notePid(main.pid);
  await main.tell('m = os.memfd_create("m"); send(b"READY=1\\nSTATUS=up")');
  // The same open file twice is kept once, which it finds out by kcmp(2).
  await main.tell('send(b"FDSTORE=1\\nFDNAME=memory", [m, m]); barrier()');
  const entry = shown(state).find((one) => one.service === service.name);
  expect(entry).toMatchObject({ pid: main.pid, state: "ready", status: "up", fds: 1 });
  const fetched = await fetchDescriptors({ service: service.name }, daemon.store);
  expect(fetched.map(({ name }) => name)).toEqual(["memory"]);
  for (const { fd } of fetched) close(fd);
  // Of a process that is not its own it sees the end too.
  await main.end();
  await shownOf(state, service.name, (one) => one.state === "ended");
  expect(lstatSync(state).uid).toBe(NOBODY);
  daemon.child.kill("SIGTERM");
  expect(await daemon.child.exited).toBe(0);
  // They are root's to remove.
  expect(existsSync(daemon.socket)).toBe(true);
});

test("a second one is refused while the first runs, and takes the place of one that was killed", async () => {
  const root = newRoot();
  const folder = newFolder();
  const states = newFolder();
  chownSync(states, NOBODY, NOBODY);
  const first = await startAsNobody(folder, root, join(states, "state.json"));
  const second = startAsNobody(folder, root, join(states, "other.json"));
  await expect(second).rejects.toThrow(`already running: another one holds ${first.socket}.lock`);
  first.child.kill("SIGKILL");
  await first.child.exited;
  const third = await startAsNobody(folder, root, join(states, "state.json"));
  await python(first.socket, "send(b'STATUS=again')");
  await until(
    "the third hears it",
    () => readFileSync(third.log, "utf8"),
    (text) => text.includes("STATUS=again"),
  );
});

test("sockets of another kind are not taken", async () => {
  const child = Bun.spawn(
    [
      ...["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", "bun", COMMAND],
      ...["--state", join(newFolder(), "state.json"), "--syslog", "/nothing"],
    ],
    { env: { ...process.env, LISTEN_FDS: "1", LISTEN_FDNAMES: "x" }, stderr: "pipe" },
  );
  expect(await child.stderr.text()).toContain("LISTEN_FDNAMES=x: must be notify:store:lock");
  expect(await child.exited).toBe(1);
});
