/** Lines to the system log, and what happens while there is none. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createLogger, syslogSink } from "../../lib/cli/index.ts";
import { bindDatagram, close, ReceiveBuffer, receive } from "../../lib/linux/index.ts";
import { cleanUp, later, newFolder, python, start } from "./support/world.ts";

setDefaultTimeout(60_000);
afterEach(cleanUp);

/** A syslog daemon's socket. */
function listen(path: string) {
  const fd = bindDatagram(path);
  const buffer = new ReceiveBuffer(4096);
  const lines = () => {
    const all: string[] = [];
    for (let next = receive(fd, buffer); next; next = receive(fd, buffer)) {
      all.push(Buffer.from(next.data).toString());
    }
    return all;
  };
  const end = () => {
    close(fd);
    rmSync(path);
  };
  return { lines, end };
}

test("a line has the facility, its priority, the time and who says it", () => {
  const path = join(newFolder(), "log");
  const log = listen(path);
  later(log.end);
  const logger = createLogger("a-daemon", true, syslogSink("a-daemon", path));
  logger.debug("one");
  logger.info("two\n<0>forged");
  logger.warning("three");
  logger.error("four");
  const form = (priority: number, text: string) =>
    expect.stringMatching(
      new RegExp(
        `^<${priority}>[A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d a-daemon\\[${process.pid}\\]: ${text}$`,
      ),
    );
  expect(log.lines()).toEqual([
    form(31, "one"),
    form(30, "two\\\\x0a<0>forged"),
    form(28, "three"),
    form(27, "four"),
  ]);
});

test("what it does not take is for standard error, and a daemon that comes later is found", () => {
  const path = join(newFolder(), "log");
  const give = syslogSink("x", path);
  expect(give("info", "nobody is there")).toBe(false);
  const first = listen(path);
  expect(give("info", "to the first")).toBe(true);
  expect(first.lines()).toHaveLength(1);
  first.end();
  expect(give("info", "nobody again")).toBe(false);
  const second = listen(path);
  later(second.end);
  expect(give("info", "to the second")).toBe(true);
  // Its queue is full before long, and nobody waits for it.
  let taken = 1;
  while (give("info", "more") && taken < 100_000) taken++;
  expect(taken).toBeLessThan(100_000);
  expect(second.lines()).toHaveLength(taken);
  expect(give("info", "room again")).toBe(true);
});

test("a daemon that is replaced between two lines gets the second", () => {
  const path = join(newFolder(), "log");
  const give = syslogSink("x", path);
  const first = listen(path);
  expect(give("info", "one")).toBe(true);
  first.end();
  const second = listen(path);
  later(second.end);
  expect(give("info", "two")).toBe(true);
  expect(second.lines()).toHaveLength(1);
});

test("lainos-notifyd logs there, each kind with its priority", async () => {
  const path = join(newFolder(), "log");
  const log = listen(path);
  later(log.end);
  const socket = join(newFolder(), "notify");
  // The start waits for a line on standard error, which comes when the log is there only after it.
  const daemon = await start(socket, "--syslog", `${path}-later`);
  const late = listen(`${path}-later`);
  later(late.end);
  await python(
    socket,
    `send(b"READY=1"); send(b"ERRNO=5"); send(b"nonsense"); send(b"WATCHDOG=1")
r, w = os.pipe(); send(b"BARRIER=1", [w]); os.close(w); select.select([r], [], [])`,
  );
  const lines = late.lines();
  expect(
    lines.map((line) => [Number(/^<(\d+)>/.exec(line)?.[1]), line.split(": ").slice(2).join(": ")]),
  ).toEqual([
    [30, "READY=1"],
    [28, "ERRNO=5"],
    [28, expect.stringContaining("dropped a datagram")],
  ]);
  expect(await daemon.stop()).toBe(0);
});
