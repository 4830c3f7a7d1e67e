/** What a daemon of ours has kept, where lainos-notifyd cannot be told of it for a while. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createLogger } from "../../../lib/cli/index.ts";
import {
  bindDatagram,
  close,
  createPlaceholder,
  listenStream,
  ReceiveBuffer,
  receive,
} from "../../../lib/linux/index.ts";
import { DescriptorKeeper } from "../../../lib/notify/index.ts";
import { quietFor, until } from "../../support/until.ts";
import { cleanUp, later, newFolder } from "../support/world.ts";

setDefaultTimeout(120_000);
afterEach(cleanUp);

/** A keeper for a socket that nobody has yet. */
async function world() {
  const folder = newFolder();
  const socket = join(folder, "notify");
  const lines: string[] = [];
  const log = createLogger("test", true, (level, message) => lines.push(`${level} ${message}`) > 0);
  const keeper = new DescriptorKeeper(log, { socket, store: join(folder, "store") });
  later(() => keeper.stop());
  await keeper.fetch();
  lines.length = 0;
  const kept = createPlaceholder();
  later(() => close(kept));
  /** Binds the socket, and gives the names of what it is told to keep. */
  const receiver = () => {
    const fd = bindDatagram(socket);
    later(() => close(fd));
    const names: string[] = [];
    return () => {
      const buffer = new ReceiveBuffer(4096);
      for (let next = receive(fd, buffer); next; next = receive(fd, buffer)) {
        for (const passed of next.fds) close(passed);
        const text = Buffer.from(next.data).toString();
        const name = /^FDSTORE=1\nFDNAME=(.*)$/m.exec(text)?.[1];
        if (name !== undefined) names.push(name);
      }
      return names;
    };
  };
  return { socket, keeper, lines, kept, receiver };
}

test("a failure that lasts is said once, and when it is over", async () => {
  const { socket, keeper, lines, kept, receiver } = await world();
  const stream = listenStream(socket);
  void keeper.keep("one", kept);
  const first = await until(
    "it is said",
    () => lines,
    ({ length }) => length > 0,
  );
  expect(first).toEqual([
    expect.stringContaining("warning lainos-notifyd keeps less than it should"),
  ]);
  await quietFor(2500, "a second line, though it is tried each second");
  expect(lines).toHaveLength(1);
  close(stream);
  rmSync(socket);
  const names = receiver();
  await until("it is kept", names, (all) => all.includes("one"));
  await until(
    "that is said",
    () => lines,
    (all) => all.includes("info lainos-notifyd keeps again what it should"),
  );
});

test("what is wrong with one keeps no other out", async () => {
  const { keeper, lines, kept, receiver } = await world();
  const names = receiver();
  void keeper.keep("bad", 19_999);
  void keeper.keep("good", kept);
  await until("the good one is kept", names, (all) => all.includes("good"));
  expect(names()).toEqual(["good"]);
  keeper.drop("bad");
  await until(
    "nothing is wrong any more",
    () => lines,
    (all) => all.includes("info lainos-notifyd keeps again what it should"),
  );
});
