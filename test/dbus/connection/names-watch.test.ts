/** A bus that refuses to tell who leaves it, by a limit of dbus-daemon's own. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Connection } from "../../../lib/dbus/index.ts";
import { startBus } from "../../support/private-bus.ts";
import { until } from "../../support/until.ts";

const ends: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

test("what it refuses is told, nothing is kept of it, and it is asked again", async () => {
  const bus = await startBus('<limit name="max_match_rules_per_connection">1</limit>');
  ends.push(() => bus.stop());
  const connection = await Connection.open(bus.address);
  const other = await Connection.open(bus.address);
  ends.push(
    () => connection.close(),
    () => other.close(),
  );
  const match = { sender: "a.b", interface: "a.b", member: "C" };
  await connection.onSignal(match, () => {});
  await expect(connection.onSignal(match, () => {})).rejects.toThrow("max_match_rules");

  const told: string[] = [];
  connection.onBadMessage = (error) => told.push(error.message);
  const lost: string[] = [];
  // A rejection that nobody takes would fail this test.
  connection.onNameLost((name) => lost.push(name));
  await until("the refusal is told", () => told.length > 0);
  expect(told).toEqual([expect.stringContaining("the bus does not tell who leaves it")]);
  await expect(Promise.resolve(connection.caller(other.uniqueName))).rejects.toThrow("max_match");

  const config = join(bus.folder, "bus.conf");
  writeFileSync(config, readFileSync(config, "utf8").replace(/<limit.*limit>/, ""));
  const daemon = { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus" };
  await other.call({ ...daemon, interface: "org.freedesktop.DBus", member: "ReloadConfig" });
  expect((await connection.caller(other.uniqueName)).uid).toBe(process.getuid?.() ?? -1);
  const name = other.uniqueName;
  other.close();
  await until("the other is seen to leave", () => lost.includes(name));
  expect(lost.filter((each) => each === name)).toHaveLength(1);
});
