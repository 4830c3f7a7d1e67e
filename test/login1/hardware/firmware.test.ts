import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorOf, PowerWorld } from "../support/power-world.ts";

const USER = 65534;
const FIRMWARE = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const NO_MENU = 0xffffffffffffffffn;

/** An efivarfs of our own, on a file system that knows chattr's +i as the real one does. */
const SET_UP = "mount -t tmpfs tmpfs /sys/firmware && mkdir -p /sys/firmware/efi/efivars";

let power: PowerWorld;
beforeAll(async () => {
  power = await PowerWorld.create(SET_UP);
});
afterAll(() => power.end());
beforeEach(async () => {
  const clear = "cd /sys/firmware/efi/efivars; chattr -i ./* 2>/dev/null; rm -f ./*";
  await power.world.run(["sh", "-c", clear]);
});

const pathOf = (name: string, vendor: string) =>
  `${power.world.root}/sys/firmware/efi/efivars/${name}-${vendor}`;

async function variable(name: string, vendor: string, value: Uint8Array): Promise<void> {
  writeFileSync(pathOf(name, vendor), Buffer.concat([Buffer.from([7, 0, 0, 0]), value]));
  const locked = await power.world.run([
    ...["chattr", "+i", `/sys/firmware/efi/efivars/${name}-${vendor}`],
  ]);
  expect(locked.stderr).toBe("");
}
const number = (value: number) => Buffer.from([value, 0, 0, 0, 0, 0, 0, 0]);
const text = (value: string) => Buffer.from(`${value}\0`, "utf16le");
const bytes = (name: string, vendor: string) => [...readFileSync(pathOf(name, vendor))];

test("a machine without EFI has nothing to be told", async () => {
  for (const what of ["Parameter", "ToFirmwareSetup", "ToBootLoaderMenu", "ToBootLoaderEntry"]) {
    expect(await power.ask(`CanReboot${what}`)).toBe("na");
  }
  expect(await errorOf(power.call("SetRebootParameter", "s", "x"))).toBe("NotSupported");
  expect(await errorOf(power.call("SetRebootToFirmwareSetup", "b", true))).toBe("NotSupported");
  expect(await errorOf(power.call("SetRebootToBootLoaderMenu", "t", 0n))).toBe("NotSupported");
  expect(await errorOf(power.call("SetRebootToBootLoaderEntry", "s", "a"))).toBe("NotSupported");
  expect(await power.property("RebootParameter")).toBe("");
  expect(await power.property("RebootToFirmwareSetup")).toBe(false);
  expect(await power.property("RebootToBootLoaderMenu")).toBe(NO_MENU);
  expect(await power.property("RebootToBootLoaderEntry")).toBe("");
  expect(await power.property("BootLoaderEntries")).toEqual([]);
});

test("a variable that the firmware does not give is none, and is not written over", async () => {
  await variable("OsIndicationsSupported", FIRMWARE, number(1));
  const names = [
    `OsIndications-${FIRMWARE}`,
    ...["LoaderFeatures", "LoaderConfigTimeoutOneShot", "LoaderEntries", "LoaderEntryOneShot"].map(
      (name) => `${name}-${LOADER}`,
    ),
  ];
  // To open a socket is an error (ENXIO), as it is where the firmware fails.
  const bind =
    "import socket, sys\nfor name in sys.argv[1:]: socket.socket(socket.AF_UNIX).bind(name)";
  const { code, stderr } = await power.world.run([
    ...["sh", "-c", 'cd /sys/firmware/efi/efivars; exec python3 -c "$@"', "sh", bind, ...names],
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(await power.property("RebootToFirmwareSetup")).toBe(false);
  expect(await power.property("RebootToBootLoaderMenu")).toBe(NO_MENU);
  expect(await power.property("RebootToBootLoaderEntry")).toBe("");
  expect(await power.property("BootLoaderEntries")).toEqual([]);
  expect(await power.ask("CanRebootToBootLoaderMenu")).toBe("na");
  expect(await errorOf(power.call("SetRebootToFirmwareSetup", "b", true))).toBe("Failed");
});

test("the firmware's setup is a bit among others", async () => {
  await variable("OsIndicationsSupported", FIRMWARE, number(5));
  await variable("OsIndications", FIRMWARE, number(4));
  expect(await power.ask("CanRebootToFirmwareSetup")).toBe("yes");
  await power.call("SetRebootToFirmwareSetup", "b", true);
  expect(await power.property("RebootToFirmwareSetup")).toBe(true);
  expect(bytes("OsIndications", FIRMWARE)).toEqual([7, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
  await power.call("SetRebootToFirmwareSetup", "b", false);
  expect(bytes("OsIndications", FIRMWARE)).toEqual([7, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
  const remove = await power.world.run([
    "sh",
    "-c",
    "rm /sys/firmware/efi/efivars/OsIndications-*",
  ]);
  expect(remove.code).not.toBe(0);
  const byUser = ["SetRebootToFirmwareSetup", "b", "true"];
  expect((await power.busctl(byUser, { user: USER })).code).not.toBe(0);
  expect(await power.property("RebootToFirmwareSetup")).toBe(false);
});

test("the boot loader's menu and entry are for one boot", async () => {
  await variable("LoaderFeatures", LOADER, number(2 | 8));
  await variable("LoaderEntries", LOADER, text("arch.conf\0arch-lts.conf"));
  expect(await power.ask("CanRebootToBootLoaderMenu")).toBe("yes");
  expect(await power.ask("CanRebootToBootLoaderEntry")).toBe("yes");
  expect(await power.property("BootLoaderEntries")).toEqual(["arch.conf", "arch-lts.conf"]);
  await power.call("SetRebootToBootLoaderMenu", "t", 4_200_000n);
  expect(await power.property("RebootToBootLoaderMenu")).toBe(5_000_000n);
  const timeout = bytes("LoaderConfigTimeoutOneShot", LOADER);
  expect(timeout).toEqual([7, 0, 0, 0, ...text("5")]);
  // As far as 64 bits go: the loader counts in seconds, and what is rounded up above them is no menu.
  for (const [wanted, is] of [
    [2n ** 62n, 4_611_686_018_428_000_000n],
    [18_446_744_073_709_000_000n, 18_446_744_073_709_000_000n],
    [NO_MENU - 1n, NO_MENU],
  ] as const) {
    await power.call("SetRebootToBootLoaderMenu", "t", wanted);
    expect(await power.property("RebootToBootLoaderMenu")).toBe(is);
  }
  await power.call("SetRebootToBootLoaderMenu", "t", NO_MENU);
  expect(existsSync(pathOf("LoaderConfigTimeoutOneShot", LOADER))).toBe(false);
  await power.call("SetRebootToBootLoaderEntry", "s", "arch-lts.conf");
  expect(await power.property("RebootToBootLoaderEntry")).toBe("arch-lts.conf");
  const set = (entry: string) => errorOf(power.call("SetRebootToBootLoaderEntry", "s", entry));
  for (const words of [
    ["SetRebootToBootLoaderMenu", "t", "1000000"],
    ["SetRebootToBootLoaderEntry", "s", "arch.conf"],
  ]) {
    expect((await power.busctl(words, { user: USER })).output).toContain("Access denied");
  }
  expect(await power.property("RebootToBootLoaderMenu")).toBe(NO_MENU);
  expect(await set("other.conf")).toBe("NotSupported");
  expect(await set("../arch.conf")).toBe("InvalidArgs");
  expect(await power.property("RebootToBootLoaderEntry")).toBe("arch-lts.conf");
  expect(await set("")).toBe("none");
  expect(await power.property("RebootToBootLoaderEntry")).toBe("");
});

test("what works outside sets the same variables, and no others, by the bridge's own command", async () => {
  const command = join(import.meta.dir, "../../../cmd/dbus-bridge.ts");
  const set = (which: string, value: string) =>
    power.world.run(["bun", command, "firmware", which, `--value=${value}`]);
  await variable("OsIndicationsSupported", FIRMWARE, number(5));
  await variable("OsIndications", FIRMWARE, number(4));
  await variable("LoaderEntries", LOADER, text("arch.conf\0arch lts.conf"));
  expect((await set("setup", "1")).code).toBe(0);
  expect(bytes("OsIndications", FIRMWARE)).toEqual([7, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
  expect((await set("menu", "30")).code).toBe(0);
  expect(bytes("LoaderConfigTimeoutOneShot", LOADER)).toEqual([7, 0, 0, 0, ...text("30")]);
  expect((await set("menu", "")).code).toBe(0);
  expect(existsSync(pathOf("LoaderConfigTimeoutOneShot", LOADER))).toBe(false);
  expect((await set("entry", "arch lts.conf")).code).toBe(0);
  expect(await power.property("RebootToBootLoaderEntry")).toBe("arch lts.conf");
  for (const [which, value] of [
    ["setup", "4"],
    ["entry", "other.conf"],
    ["BootOrder", "1"],
  ] as const) {
    const refused = await set(which, value);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("no value that it takes");
  }
});
