/** A daemon of ours and lainos-notifyd see that the other is alive. */
import { afterEach, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createLogger } from "../../../lib/cli/index.ts";
import {
  bindDatagram,
  close,
  listenStream,
  ReceiveBuffer,
  receive,
} from "../../../lib/linux/index.ts";
import { Heartbeat } from "../../../lib/notify/client/heartbeat.ts";
import type { RestartPlan } from "../../../lib/notify/services/restarter.ts";
import { quietFor, until } from "../../support/until.ts";
import { cleanUp, later, newFolder, start } from "../support/world.ts";

afterEach(cleanUp);

/** In milliseconds: a busy machine lets a daemon that does not hang wait for a tenth of a second and more. */
const INTERVAL = 600;

/** A heartbeat at `socket`, and what it had restarted so far. */
function beatAt(socket: string, watchdog: { interval?: number } = { interval: INTERVAL }) {
  const restarted: string[] = [];
  const lines: string[] = [];
  const log = createLogger("test", true, (level, message) => lines.push(`${level} ${message}`) > 0);
  const restart = (service: string): RestartPlan => {
    restarted.push(service);
    return { kind: "planned", seconds: 0 };
  };
  const heartbeat = new Heartbeat(log, { ...watchdog, socket, restart });
  later(() => heartbeat.stop());
  return { heartbeat, restarted, lines };
}

test("a lainos-notifyd that answers is left alone, and hears WATCHDOG=1 again and again", async () => {
  const socket = join(newFolder(), "notify");
  const daemon = await start(socket, "--verbose");
  const { heartbeat, restarted, lines } = beatAt(socket);
  await daemon.logged("READY=1");
  await daemon.logged(/(WATCHDOG=1[\s\S]*){12}/);
  heartbeat.stop();
  await daemon.logged("STOPPING=1");
  expect(restarted).toEqual([]);
  expect(lines).toEqual([]);
});

test("one that hangs is restarted, and once more if that did not help", async () => {
  const socket = join(newFolder(), "notify");
  const daemon = await start(socket, "--verbose");
  const { restarted, lines } = beatAt(socket);
  daemon.child.kill("SIGSTOP");
  await until(
    "two restarts",
    () => restarted,
    ({ length }) => length >= 2,
  );
  expect(restarted).toEqual(["lainos-notifyd", "lainos-notifyd"]);
  expect(lines[0]).toBe("error lainos-notifyd does not answer: it is restarted");
  daemon.child.kill("SIGCONT");
  await daemon.logged(/BARRIER=1[\s\S]*WATCHDOG=1/);
  const soFar = restarted.length;
  await quietFor(4 * INTERVAL, "another restart");
  expect(restarted).toHaveLength(soFar);
});

test("one that is flooded is left alone", async () => {
  const socket = join(newFolder(), "notify");
  const daemon = await start(socket);
  const flood = `import socket,sys,time
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.connect(sys.argv[1])
while True: s.send(b"STATUS=x")`;
  const floods = Array.from({ length: 3 }, () =>
    Bun.spawn(["/usr/bin/python3", "-c", flood, socket], { stderr: "ignore" }),
  );
  later(async () => {
    for (const one of floods) one.kill("SIGKILL");
    await Promise.all(floods.map((one) => one.exited));
  });
  await daemon.logged("STATUS=x");
  const { restarted } = beatAt(socket, { interval: 3000 });
  await quietFor(6000, "a restart");
  expect(restarted).toEqual([]);
});

test("one that is not there is for OpenRC to start", async () => {
  const { restarted, lines } = beatAt(join(newFolder(), "none"));
  await quietFor(4 * INTERVAL, "a restart or a line in the log");
  expect({ restarted, lines }).toEqual({ restarted: [], lines: [] });
});

test("without a watchdog nothing is said", async () => {
  const socket = join(newFolder(), "notify");
  const fd = bindDatagram(socket);
  later(() => close(fd));
  const { heartbeat } = beatAt(socket, {});
  await quietFor(INTERVAL, "a word");
  heartbeat.stop();
  expect(receive(fd, new ReceiveBuffer(100))).toBeUndefined();
});

test("a watchdog of years is not fed all the time", async () => {
  const socket = join(newFolder(), "notify");
  const fd = bindDatagram(socket);
  later(() => close(fd));
  beatAt(socket, { interval: 2 ** 40 });
  await quietFor(100, "a second word");
  const said: string[] = [];
  const buffer = new ReceiveBuffer(100);
  for (let got = receive(fd, buffer); got; got = receive(fd, buffer)) {
    said.push(Buffer.from(got.data).toString());
    for (const one of got.fds) close(one);
  }
  expect(said.filter((word) => word === "WATCHDOG=1")).toHaveLength(1);
});

test("what cannot be said is said later, and why is logged once", async () => {
  const socket = join(newFolder(), "notify");
  const stream = listenStream(socket);
  const { lines } = beatAt(socket);
  await until(
    "it is logged",
    () => lines,
    ({ length }) => length > 0,
  );
  await quietFor(2 * INTERVAL, "another line");
  expect(lines).toEqual([expect.stringContaining("error no sign of life to lainos-notifyd: ")]);
  close(stream);
  rmSync(socket);
  const fd = bindDatagram(socket);
  later(() => close(fd));
  // A barrier waits apart from the words, and may come before them.
  const words: string[] = [];
  await until(
    "two words",
    () => {
      const said = receive(fd, new ReceiveBuffer(100));
      const word = Buffer.from(said?.data ?? []).toString();
      if (said && word !== "BARRIER=1") words.push(word);
      return words;
    },
    ({ length }) => length >= 2,
  );
  expect(words.slice(0, 2)).toEqual(["READY=1", "WATCHDOG=1"]);
  expect(lines.at(-1)).toContain("is told again that this daemon is alive");
});
