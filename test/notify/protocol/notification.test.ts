/** What assignments mean, and which services cgroups and settings name. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { table } from "../../../lib/notify/cli/show-status.ts";
import { interpret } from "../../../lib/notify/protocol/notification.ts";
import { serviceOfCgroups } from "../../../lib/notify/services/service-of-process.ts";
import { readSettings } from "../../../lib/notify/services/settings.ts";
import { newEntry, record } from "../../../lib/notify/state/entry.ts";

function say(text: string, descriptors = 0) {
  const assignments = text.split("\n").map((line) => {
    const [name = "", value = ""] = line.split(/=(.*)/s);
    return { name, value };
  });
  const { problems, ...said } = interpret(assignments, descriptors);
  return { said, problems };
}

describe("interpret", () => {
  test("of the three states the last counts, and only with 1", () => {
    expect(say("RELOADING=1\nREADY=1").said).toEqual({ state: "ready" });
    expect(say("READY=1\nRELOADING=1\nMONOTONIC_USEC=12").said).toEqual({
      state: "reloading",
      monotonicUsec: 12n,
    });
    expect(say("READY=1\nSTOPPING=1").said).toEqual({ state: "stopping" });
    expect(say("READY=0\nSTOPPING=yes")).toEqual({ said: {}, problems: [] });
  });

  test("values have their rules, and of two the first counts", () => {
    expect(say("STATUS=a=b\nSTATUS=c").said).toEqual({ status: "a=b" });
    expect(say("ERRNO=2").said).toEqual({ errno: 2 });
    expect(say("ERRNO=ENOENT").said).toEqual({ errno: 2 });
    expect(say("ERRNO=0\nEXIT_STATUS=255").said).toEqual({ errno: 0, exitStatus: 255 });
    expect(say("BUSERROR=org.freedesktop.DBus.Error.TimedOut").said).toEqual({
      busError: "org.freedesktop.DBus.Error.TimedOut",
    });
    expect(say("VARLINKERROR=org.varlink.service.InvalidParameter").said).toEqual({
      varlinkError: "org.varlink.service.InvalidParameter",
    });
    expect(say("NOTIFYACCESS=exec").said).toEqual({ access: "exec" });
    expect(say("MAINPID=4711\nMAINPIDFDID=99").said).toEqual({ mainPid: 4711, mainPidfdId: 99n });
    expect(say("EXTEND_TIMEOUT_USEC=5\nRESTART_RESET=1").said).toEqual({
      extendUsec: 5n,
      restartReset: true,
    });
    expect(say("WATCHDOG=1").said).toEqual({ watchdog: "alive" });
    expect(say("WATCHDOG=trigger").said).toEqual({ watchdog: "trigger" });
    expect(say("WATCHDOG_USEC=18446744073709551615").said).toEqual({ watchdogUsec: 0n });
    expect(say("X_MINE=1\nREADY=1")).toEqual({ said: { state: "ready" }, problems: [] });
  });

  test("what breaks its rule is named, and the rest counts", () => {
    for (const line of [
      "NOTIFYACCESS=everybody",
      "ERRNO=4096",
      "ERRNO=-1",
      "ERRNO=toString",
      "BUSERROR=no",
      "BUSERROR=a..b",
      "VARLINKERROR=org.varlink.lower",
      "EXIT_STATUS=256",
      "MAINPID=0",
      "MAINPID=1",
      "MAINPID=99999999999",
      "MAINPIDFDID=0\nMAINPID=9",
      "WATCHDOG_USEC=18446744073709551616",
      "WATCHDOG_USEC= 1",
      "EXTEND_TIMEOUT_USEC=1e3",
      "MONOTONIC_USEC=",
    ]) {
      const { said, problems } = say(`${line}\nREADY=1`);
      expect([line, said.state, problems]).toEqual([
        line,
        "ready",
        [`${line.split("=")[0]} has no such value`],
      ]);
    }
    expect(say("MAINPIDFDID=3").problems).toEqual(["MAINPIDFDID without MAINPID"]);
  });

  test("descriptors are kept, dropped or are the main process", () => {
    expect(say("FDSTORE=1", 2).said).toEqual({ store: { name: "stored", poll: true } });
    expect(say("FDSTORE=1\nFDNAME=a\nFDPOLL=0", 1).said).toEqual({
      store: { name: "a", poll: false },
    });
    expect(say("FDSTORE=1\nFDNAME=a:b", 1)).toEqual({
      said: { store: { name: "stored", poll: true } },
      problems: ["FDNAME has no such value"],
    });
    expect(say(`FDSTORE=1\nFDNAME=${"x".repeat(256)}`, 1).said.store?.name).toBe("stored");
    expect(say("FDSTORE=1").problems).toEqual(["FDSTORE=1 without descriptors"]);
    expect(say("FDSTOREREMOVE=1\nFDNAME=a").said).toEqual({ remove: "a" });
    expect(say("FDSTOREREMOVE=1")).toEqual({
      said: {},
      problems: ["FDSTOREREMOVE=1 without FDNAME"],
    });
    expect(say("MAINPIDFD=1", 1).said).toEqual({ mainByPidfd: true });
    expect(say("MAINPIDFD=1", 2).problems).toEqual([
      "MAINPIDFD=1 with 2 descriptors instead of one",
    ]);
    expect(say("MAINPIDFD=1\nFDSTORE=1", 1)).toEqual({
      said: { mainByPidfd: true },
      problems: ["FDSTORE=1 beside MAINPIDFD=1"],
    });
  });
});

test("nothing follows STOPPING=1", () => {
  const entry = newEntry("x", 0);
  record(entry, say("STOPPING=1").said as never);
  record(entry, { ...say("READY=1\nSTATUS=bye").said, problems: [] });
  expect(entry).toMatchObject({ state: "stopping", status: "bye" });
  record(entry, { ...say("STATUS=").said, problems: [] });
  expect(entry.status).toBeUndefined();
});

test("a service is named by its cgroup at the top, and by nothing that a user can make", () => {
  const known = (name: string) => ["chrony", "docker"].includes(name);
  const of = (text: string) => serviceOfCgroups(text, known);
  expect(of("0::/openrc.chrony\n")).toBe("chrony");
  expect(of("0::/chrony/below\n")).toBe("chrony");
  expect(of("0::/user.slice/user-1000.slice/openrc.chrony\n")).toBe("elsewhere");
  expect(of("1:name=openrc:/chrony\n0::/user.slice\n")).toBe("elsewhere");
  expect(of("1:name=openrc:/chrony\n0::/\n")).toBe("chrony");
  expect(of("3:cpu:/chrony\n0::/\n")).toBeUndefined();
  expect(of("0::/openrc.other\n")).toBe("elsewhere");
});

test("of a conf.d file plain assignments count, and a wrong value is named", () => {
  const folder = mkdtempSync(join(tmpdir(), "p7-confd-"));
  try {
    const problems: string[] = [];
    const read = (text: string) => {
      writeFileSync(join(folder, "x"), text);
      return readSettings(folder, "x", (problem) => problems.push(problem));
    };
    const defaults = readSettings(folder, "none", () => {});
    expect(defaults).toEqual({
      access: "main",
      restarts: false,
      watchdogUsec: 0n,
      storeMost: 0,
      storePreserved: false,
    });
    expect(
      read(
        `lainos_watchdog=restart # yes\n  lainos_watchdog_sec="30"\nexport lainos_fdstore_max='7'\n` +
          "#lainos_notify_access=all\nlainos_fdstore_preserve=no\nlainos_fdstore_preserve=yes\n",
      ),
    ).toEqual({
      access: "main",
      restarts: true,
      watchdogUsec: 30_000_000n,
      storeMost: 7,
      storePreserved: true,
    });
    expect(read('lainos_notify_access=""\nlainos_watchdog=$other\n')).toEqual(defaults);
    expect(problems).toEqual([]);
    expect(read("lainos_notify_access=me\n")).toEqual(defaults);
    mkdirSync(join(folder, "folder"));
    readSettings(folder, "folder", (problem) => problems.push(problem));
    expect(problems).toEqual([
      `${folder}/x: lainos_notify_access=me is no value that it takes`,
      expect.stringContaining("is no plain file"),
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the table has a row a sender, whatever they say", () => {
  const entry = { ...newEntry("evil\x1b[2J", 1000), status: "a\nb\tc\x9b1m\u202e" };
  const text = table([entry, { ...newEntry("chronyd", 0, "chrony"), pid: 12, errno: 2 }]);
  const lines = text.split("\n");
  expect(lines).toHaveLength(3);
  expect(/\p{Cc}|\u202e/u.test(text.replaceAll("\n", ""))).toBe(false);
  expect(lines[1]).toStartWith("(evil\\x1b[2J, uid 1000)  -");
  expect(lines[2]).toMatch(/^chrony {2,}12 +starting .* \[errno 2\]$/);
});
