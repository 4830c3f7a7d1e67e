import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BusError, Connection } from "../../lib/dbus/index.ts";
import { prepareWireless } from "../../lib/net/index.ts";
import { hasOwner } from "../login1/support/client.ts";
import { onBus, type PrivateBus, startBus } from "../support/private-bus.ts";
import { quietFor, until } from "../support/until.ts";
import { IwdStandIn } from "./iwd-stand-in.ts";

setDefaultTimeout(60_000);

const COMMAND = join(import.meta.dir, "../../cmd/net-init.ts");
const ON = { Powered: true, Mode: "station" };

let bus: PrivateBus;
beforeAll(async () => {
  bus = await startBus();
});
afterAll(() => bus?.stop());

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean();
});

function newFolder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-wireless-"));
  cleanups.push(() => rmSync(path, { recursive: true }));
  return path;
}

interface Switch {
  name: string;
  type?: string;
  soft?: 0 | 1;
  hard?: 0 | 1;
}

/** A stand-in for /sys/class with these wireless devices and rfkill switches. */
function sysClass(devices: string[], switches: Switch[] = []): string {
  const folder = newFolder();
  for (const device of devices) mkdirSync(join(folder, "ieee80211", device), { recursive: true });
  for (const [index, { name, type = "wlan", soft = 0, hard = 0 }] of switches.entries()) {
    const own = join(folder, "rfkill", `rfkill${index}`);
    mkdirSync(own, { recursive: true });
    for (const [file, value] of Object.entries({ name, type, soft, hard })) {
      writeFileSync(join(own, file), `${value}\n`);
    }
  }
  return folder;
}

async function newIwd(): Promise<IwdStandIn> {
  const iwd = await IwdStandIn.start(bus.address);
  cleanups.push(() => iwd.connection.close());
  // The one of the test before has been closed, of which the bus may not know yet.
  await until(
    "iwd's name is free",
    () => hasOwner(iwd.connection, "net.connman.iwd"),
    (has) => !has,
  );
  return iwd;
}

/** Runs the preparation; `connects` counts how often it wanted the bus. */
async function prepare(folder: string, patience = 20_000) {
  const lines: string[] = [];
  const at = (level: string) => (message: string) => lines.push(`${level}: ${message}`);
  const log = { debug: at("debug"), info: at("info"), warning: at("warning"), error: at("error") };
  let connects = 0;
  const connect = () => {
    connects++;
    return Connection.open(bus.address);
  };
  const good = await prepareWireless({ log, connect, sysClass: folder, patience });
  return { good, lines, connects };
}

describe("wireless devices", () => {
  test("none are no error, and the bus is not asked", async () => {
    const nothing = { good: true, lines: ["info: no wireless device, so nothing to prepare"] };
    expect(await prepare(sysClass([]))).toEqual({ ...nothing, connects: 0 });
    expect(await prepare("/nowhere")).toEqual({ ...nothing, connects: 0 });
  });

  test("are powered from the adapter on, made stations, and scan", async () => {
    const iwd = await newIwd();
    iwd.addAdapter(0, false, { Powered: false, Mode: "ap" });
    iwd.addAdapter(1, true, ON);
    await iwd.takeName();
    const { good, lines } = await prepare(sysClass(["phy0", "phy1"]));
    expect(lines).toEqual([
      "info: phy0: wlan0 is on, and scans",
      "info: phy1: wlan1 is on, and scans",
    ]);
    expect(good).toBe(true);
    expect(iwd.calls).toEqual([
      "Set /net/connman/iwd/0 Adapter.Powered true",
      "Set /net/connman/iwd/0/1 Device.Mode station",
      "Set /net/connman/iwd/0/1 Device.Powered true",
      "Scan /net/connman/iwd/0/1",
      // What is so already is not set again.
      "Scan /net/connman/iwd/1/1",
    ]);
    expect(iwd.property("/net/connman/iwd/0", "Adapter", "Powered")).toBe(true);
    expect(iwd.property("/net/connman/iwd/0/1", "Device", "Mode")).toBe("station");
    expect(iwd.property("/net/connman/iwd/0/1", "Device", "Powered")).toBe(true);
    expect(iwd.property("/net/connman/iwd/0/1", "Station", "State")).toBe("disconnected");
  });

  test("are awaited: iwd's name first, then the adapter", async () => {
    const iwd = await newIwd();
    const prepared = prepare(sysClass(["phy0"]));
    await quietFor(300, "it goes on without iwd");
    await iwd.takeName();
    await quietFor(300, "it goes on without an adapter");
    iwd.addAdapter(0, true, { Powered: false, Mode: "station" });
    expect(await prepared).toMatchObject({
      good: true,
      lines: ["info: phy0: wlan0 is on, and scans"],
    });
  });

  test("are an error without iwd, which is named after the wait", async () => {
    const { good, lines } = await prepare(sysClass(["phy0"]), 200);
    expect({ good, lines }).toEqual({
      good: false,
      lines: ["error: iwd is not on the bus after 0.2 s: rc-service iwd status"],
    });
  });

  test("that iwd does not manage are left and named", async () => {
    const iwd = await newIwd();
    iwd.addAdapter(1, true, ON);
    await iwd.takeName();
    const { good, lines } = await prepare(sysClass(["phy0"]), 200);
    expect({ good, lines, calls: iwd.calls }).toEqual({
      good: true,
      lines: ["warning: phy0: iwd does not manage it, so it stays as it is"],
      calls: [],
    });
  });

  test("that are blocked are left, with the block and its mend", async () => {
    const iwd = await newIwd();
    iwd.addAdapter(0, false, ON);
    iwd.addAdapter(1, false, ON);
    iwd.addAdapter(2, false, ON);
    await iwd.takeName();
    const folder = sysClass(
      ["phy0", "phy1", "phy2"],
      [
        { name: "hci0", type: "bluetooth", soft: 1, hard: 1 },
        { name: "phy0", soft: 1 },
        { name: "phy1", soft: 1, hard: 1 },
        { name: "phy2" },
        { name: "ideapad_wlan", soft: 1 },
      ],
    );
    const { good, lines } = await prepare(folder);
    const soft = "rfkill unblock wlan, then rc-service iwd restart";
    expect(lines).toEqual([
      `warning: phy0 is off by a soft block (rfkill1): ${soft}`,
      "warning: phy1 is off by a hard block (rfkill2): turn on the machine's switch, key or firmware setting for wireless",
      `warning: ideapad_wlan is off by a soft block (rfkill4): ${soft}`,
      "info: phy2: wlan2 is on, and scans",
    ]);
    expect(good).toBe(true);
    expect(iwd.property("/net/connman/iwd/0", "Adapter", "Powered")).toBe(false);
    expect(iwd.property("/net/connman/iwd/1", "Adapter", "Powered")).toBe(false);
    const all = sysClass(["phy0"], [{ name: "phy0", soft: 1 }]);
    expect(await prepare(all)).toMatchObject({ good: true, connects: 0 });
  });

  test("that iwd refuses to turn on are named, and the others go on", async () => {
    const iwd = await newIwd();
    iwd.addAdapter(0, false, ON);
    iwd.addAdapter(1, false, ON);
    iwd.refusals.set("Set /net/connman/iwd/0 ", new BusError("net.connman.iwd.Failed", "no"));
    // A scan that iwd began by itself is no failure.
    iwd.refusals.set("Scan", new BusError("net.connman.iwd.Busy", "busy"));
    await iwd.takeName();
    const { good, lines } = await prepare(sysClass(["phy0", "phy1"]));
    expect({ good, lines }).toEqual({
      good: false,
      lines: [
        "error: phy0: iwd refuses: net.connman.iwd.Failed: no",
        "info: phy1: wlan1 is on, and scans",
      ],
    });
  });

  test("busctl reads the stand-in as it would iwd", async () => {
    const iwd = await newIwd();
    iwd.addAdapter(0, true, ON);
    await iwd.takeName();
    const call = ["busctl", "--system", "call", "net.connman.iwd", "/"];
    const all = await onBus(
      bus,
      ...call,
      "org.freedesktop.DBus.ObjectManager",
      "GetManagedObjects",
    );
    expect(all.stdout).toStartWith("a{oa{sa{sv}}} 2 ");
    expect(all.stdout).toContain('"Adapter" o "/net/connman/iwd/0"');
  });
});

/** A network namespace of its own, and a /sys of that: without this machine's wireless devices. */
const ALONE = ["unshare", "--mount", "--net", "sh", "-c"];

/** Runs the command with nothing in its PATH but bun and these tools. */
function netInit(args: string[], tools: Record<string, string> = {}) {
  const folder = newFolder();
  symlinkSync(process.execPath, join(folder, "bun"));
  for (const [name, text] of Object.entries(tools)) {
    writeFileSync(join(folder, name), text, { mode: 0o755 });
  }
  const script = 'mount -t sysfs sysfs /sys && PATH=$1 && shift && exec "$@"';
  const command = [process.execPath, COMMAND, ...args];
  const child = Bun.spawnSync([...ALONE, script, "sh", folder, ...command], {
    env: { PATH: process.env.PATH ?? "", DBUS_SYSTEM_BUS_ADDRESS: bus.address },
  });
  return { status: child.exitCode, errors: child.stderr.toString() };
}

describe("--wireless", () => {
  test("goes alone", () => {
    for (const other of ["--check", "--sysctl", "--only=net"]) {
      expect(netInit(["--wireless", other])).toMatchObject({ status: 2 });
    }
  });

  test("names what resolvconf fails of, and does without it", () => {
    expect(netInit(["--wireless"])).toMatchObject({ status: 0 });
    const failing =
      "#!/bin/sh\n[ \"$*\" = -u ] || exit 9\necho first >&2\necho 'no lock' >&2\nexit 3\n";
    const { status, errors } = netInit(["--wireless"], { resolvconf: failing });
    expect(status).toBe(1);
    expect(errors).toContain("error: resolvconf -u ended with status 3: no lock\n");
  });

  test.skipIf(Bun.which("resolvconf") === null)(
    "has a real resolvconf replace what the last boot left in /etc/resolv.conf",
    () => {
      const folder = newFolder();
      const script = `
        set -eu
        mount -t sysfs sysfs /sys
        mount -t tmpfs tmpfs /run
        mount -t tmpfs tmpfs ${folder}
        mkdir ${folder}/upper ${folder}/work
        mount -t overlay -o lowerdir=/etc,upperdir=${folder}/upper,workdir=${folder}/work overlay /etc
        echo nameserver 192.0.2.1 | resolvconf -a p7test0
        rm -f /etc/resolv.conf
        echo nameserver 198.51.100.9 > /etc/resolv.conf
        ${process.execPath} ${COMMAND} --wireless
        cat /etc/resolv.conf`;
      const child = Bun.spawnSync([...ALONE, script], {
        env: { PATH: process.env.PATH ?? "", DBUS_SYSTEM_BUS_ADDRESS: bus.address },
      });
      expect(child.exitCode).toBe(0);
      expect(child.stdout.toString()).toContain("nameserver 192.0.2.1");
      expect(child.stdout.toString()).not.toContain("198.51.100.9");
    },
  );
});
