/** Lists of addresses, and the bus that is found by one. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { addressOfPath, Connection, parseAddresses } from "../../../lib/dbus/index.ts";
import { type PrivateBus, startBus } from "../../support/private-bus.ts";

let bus: PrivateBus;
beforeAll(async () => {
  bus = await startBus();
});
afterAll(() => bus.stop());

test.each([
  ["/run/user/1000/bus", "unix:path=/run/user/1000/bus"],
  ["/tmp/a b;c,ö=%", "unix:path=/tmp/a%20b%3bc%2c%c3%b6%3d%25"],
])("%s is escaped, and read back", (path, address) => {
  expect(addressOfPath(path)).toBe(address);
  expect(parseAddresses(address)).toEqual([{ entry: address, socket: path }]);
});

test.each([
  ["unix:abstract=/tmp/x,guid=1", "\0/tmp/x"],
  ["unix:guid=1,path=/a", "/a"],
  ["unix:runtime=yes", "/r/bus"],
  // Left as it is where it should have been escaped.
  ["unix:path=/a b", "/a b"],
])("%s is a socket", (entry, socket) => {
  expect(parseAddresses(entry, "/r")).toEqual([{ entry, socket }]);
});

test.each([
  ["tcp:host=x,port=1", "there is no transport tcp"],
  ["autolaunch:", "there is no transport autolaunch"],
  ["/run/dbus/system_bus_socket", "does not begin with a transport"],
  ["unix:", "needs one of path="],
  ["unix:guid=1", "needs one of path="],
  ["unix:path=/a,abstract=b", "needs one of path="],
  ["unix:path=", "path= is empty"],
  ["unix:dir=/tmp", "dir= is for servers"],
  ["unix:tmpdir=/tmp", "tmpdir= is for servers"],
  ["unix:runtime=no", "runtime= is not yes"],
  ["unix:path", '"path" is no key=value'],
  ["unix:path=/a%zz", "without two hexadecimal digits"],
  ["unix:path=/a%2", "without two hexadecimal digits"],
])("%s is none, and says why", (entry, problem) => {
  const [found, ...more] = parseAddresses(entry, "/r");
  expect(more).toEqual([]);
  expect(found).toEqual({ entry, problem: expect.stringContaining(problem) });
});

test("without a runtime folder there is no bus in it", () => {
  expect(parseAddresses("unix:runtime=yes")).toEqual([
    { entry: "unix:runtime=yes", problem: "there is no XDG_RUNTIME_DIR" },
  ]);
});

test("a list is tried in its order, and the first at which somebody listens is taken", async () => {
  const list = `tcp:host=x;unix:path=/nowhere/bus;unix:path=%zz;${bus.address};unix:path=/never`;
  const connection = await Connection.open(list);
  expect(connection.uniqueName).toMatch(/^:1\./);
  connection.close();
});

test.each([
  ["unix:path=/nowhere;unix:path=%zz", "connect /nowhere: no such file", "unix:path=%zz: "],
  ["", "the address is empty", ""],
])("where nobody listens at any of %j, each says why", async (list, first, second) => {
  const opening = Connection.open(list);
  await expect(opening).rejects.toThrow(`cannot connect to the message bus at ${list}: `);
  await expect(opening).rejects.toThrow(first);
  await expect(opening).rejects.toThrow(second);
});
