/** That login1 has its members, and that the page which says so is not old. */
import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { difference, faults } from "../../testbed/members/compare.ts";
import { keyOf, readContract } from "../../testbed/members/contract.ts";
import { membersIn } from "../../testbed/members/introspection.ts";

const MAIN = resolve(import.meta.dir, "../../bench/members/main.ts");

test("the live bridge has every member as logind has it, and docs/members.md says so", async () => {
  const child = Bun.spawn([process.execPath, MAIN, "--check"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect({ out, errors, code: await child.exited }).toEqual({ out: "", errors: "", code: 0 });
}, 120_000);

test("the contract is whole: systemd's 205 members, and three of elogind's", async () => {
  const contract = await readContract();
  expect(new Set(contract.map(keyOf)).size).toBe(208);
  expect(contract.filter(({ systemd }) => systemd === "no").map(({ name }) => name)).toEqual([
    "Reload",
    "ReloadConfig",
    "SendPrepareForSleep",
  ]);
  for (const member of contract) {
    expect(member.systemd).toMatch(/^(2\d\d|no)$/);
    expect(member.access).toMatch(member.kind === "property" ? /^(read|readwrite)$/ : /^$/);
    expect(member.emits).toMatch(member.kind === "property" ? /^(true|false|const)$/ : /^$/);
  }
});

test("what is missing, different or of no login1 is a fault each", async () => {
  const contract = await readContract();
  expect(faults(contract, contract)).toEqual([]);
  const [first, second, ...rest] = contract;
  if (!first || !second) throw new Error("the contract is empty");
  expect(faults(contract, [second, ...rest])).toEqual([`${keyOf(first)} is missing`]);
  expect(faults(contract, [...contract, { ...first, name: "Fly" }])).toEqual([
    "Manager method Fly is in no login1",
  ]);
  for (const other of [
    { in: "x" },
    { out: "x" },
    { access: "readwrite" },
    { emits: "invalidates" },
    { privileged: true },
    { hidden: true },
  ]) {
    const changed = { ...first, ...other };
    expect(difference(first, changed)).toBeDefined();
    expect(faults(contract, [changed, second, ...rest])).toEqual([
      expect.stringContaining(`${keyOf(first)} has `),
    ]);
  }
});

test("introspection data is read as the specification has it", () => {
  const document = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD" "http://x">
<node>
 <interface name="org.freedesktop.DBus.Peer"><method name="Ping"/></interface>
 <interface name="org.freedesktop.login1.Session">
  <method name="Take">
   <arg type="u" name="major" direction="in"/>
   <arg name="minor" type="u"/>
   <arg type="h" name="fd" direction="out"/>
   <annotation name="org.freedesktop.systemd1.Privileged" value="true"/>
  </method>
  <property name="TTY" type="s" access="read"/>
  <property name="Name" type="s" access="readwrite">
   <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/>
  </property>
  <signal name="Lock"><arg type="s" name="why"/></signal>
 </interface>
</node>`;
  const common = { interface: "Session", out: "", access: "", emits: "" } as const;
  expect(membersIn(document)).toEqual([
    {
      ...common,
      kind: "method",
      name: "Take",
      in: "uu",
      out: "h",
      privileged: true,
      hidden: false,
    },
    {
      ...{ ...common, kind: "property", name: "TTY", in: "s", access: "read", emits: "true" },
      ...{ privileged: false, hidden: false },
    },
    {
      ...{ ...common, kind: "property", name: "Name", in: "s", access: "readwrite" },
      ...{ emits: "const", privileged: false, hidden: false },
    },
    { ...common, kind: "signal", name: "Lock", in: "s", privileged: false, hidden: false },
  ]);
});
