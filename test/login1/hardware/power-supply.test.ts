/** What login1 says of the machine's power and displays, from what the kernel has in /sys/class. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { PowerWorld } from "../support/power-world.ts";

const CLASSES = ["power_supply", "drm", "typec"];
/** Where the devices themselves are, to which links in /sys/class lead. */
const DEVICES = "run/sys";

let power: PowerWorld;
beforeAll(async () => {
  power = await PowerWorld.create(`
    mount -t tmpfs tmpfs /sys/class
    mkdir ${CLASSES.map((name) => `/sys/class/${name}`).join(" ")}
  `);
});
afterAll(() => power.end());
afterEach(() => power.remove(DEVICES, ...made.splice(0)));

const made: string[] = [];
/** A device of these attributes, in /sys/class by its name. */
function add(kind: string, path: string, attributes: Record<string, string>): void {
  const name = path.split("/").at(-1) ?? "";
  for (const [key, value] of Object.entries({ uevent: "", ...attributes })) {
    power.write(`${DEVICES}/${path}/${key}`, `${value}\n`);
  }
  const link = `sys/class/${kind}/${name}`;
  symlinkSync(`/${DEVICES}/${path}`, join(power.world.root, link));
  made.push(link);
}

describe("OnExternalPower", () => {
  const mains = (online: string) => ({ type: "Mains", online });
  const battery = (status: string, more = {}) => ({ type: "Battery", status, ...more });
  test.each<[string, Record<string, Record<string, string>>, boolean]>([
    ["of a machine without supplies", {}, true],
    ["with the mains", { AC: mains("1"), BAT0: battery("Discharging") }, true],
    ["with the mains that is online in another way", { AC: mains("2") }, true],
    ["without the mains", { AC: mains("0"), BAT0: battery("Discharging") }, false],
    ["without a word of the mains", { BAT0: battery("Discharging") }, false],
    [
      "while the battery is charged by another way",
      { AC: mains("0"), BAT0: battery("Charging") },
      true,
    ],
    ["while the battery is full", { AC: mains("0"), BAT0: battery("Full") }, true],
    ["while the battery is not charged", { AC: mains("0"), BAT0: battery("Not charging") }, true],
    ["while nobody knows of the battery", { AC: mains("0"), BAT0: battery("Unknown") }, true],
    [
      "with one of two batteries in use",
      { BAT0: battery("Full"), BAT1: battery("Discharging") },
      false,
    ],
    ["with a battery that says nothing", { BAT0: { type: "Battery" } }, false],
    ["with a place for a battery", { BAT0: battery("Discharging", { present: "0" }) }, true],
    ["with a battery in its place", { BAT0: battery("Discharging", { present: "1" }) }, false],
    ["with the mains off and no battery", { AC: mains("0") }, true],
    ["with a mouse", { mouse: battery("Discharging", { scope: "Device" }) }, true],
    [
      "with a power supply that cannot be interrupted",
      { ups: { type: "UPS", online: "1" }, BAT0: battery("Discharging") },
      true,
    ],
    [
      "with a charger that says nothing",
      { AC: { type: "Mains" }, BAT0: battery("Discharging") },
      false,
    ],
    ["with a supply without a type", { odd: { online: "1" }, BAT0: battery("Discharging") }, false],
  ])("%s", async (_what, supplies, is) => {
    for (const [name, attributes] of Object.entries(supplies)) {
      add("power_supply", `acpi/power_supply/${name}`, attributes);
    }
    expect(await power.property("OnExternalPower")).toBe(is);
  });

  test.each<[string, string[], boolean]>([
    ["that takes power", ["source [sink]"], true],
    ["that gives power", ["[source] sink"], false],
    ["of two ports, one of which takes power", ["[source] sink", "source [sink]"], true],
    ["without ports", [], true],
  ])("by a USB controller %s", async (_what, roles, is) => {
    power.write(`${DEVICES}/USBC000:00/uevent`, "");
    add("power_supply", "USBC000:00/power_supply/ucsi0", { type: "USB", online: "1" });
    add("power_supply", "acpi/power_supply/BAT0", { type: "Battery", status: "Discharging" });
    for (const [index, role] of roles.entries()) {
      add("typec", `USBC000:00/typec/port${index}`, { power_role: role });
    }
    // What another controller's port does is nothing to this one.
    add("typec", "USBC000:000/typec/port9", { power_role: is ? "[source] sink" : "source [sink]" });
    expect(await power.property("OnExternalPower")).toBe(is);
  });
});

/** In the place of an attribute: each attempt to open it is ENXIO, as with a driver that cannot reach its chip. */
async function breakAttribute(path: string): Promise<void> {
  const full = `/${DEVICES}/${path}`;
  const bind = `import socket; socket.socket(socket.AF_UNIX).bind("${full}")`;
  const { code, stderr } = await power.world.run([
    ...["sh", "-c", `rm ${full}; exec python3 -c '${bind}'`],
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
}

describe("a driver that fails", () => {
  test.each(["type", "online"])("with the %s of a charger", async (attribute) => {
    add("power_supply", "acpi/power_supply/AC", { type: "Mains", online: "1" });
    add("power_supply", "acpi/power_supply/BAT0", { type: "Battery", status: "Discharging" });
    await breakAttribute(`acpi/power_supply/AC/${attribute}`);
    expect(await power.property("OnExternalPower")).toBe(false);
  });
  test.each(["status", "present", "scope"])("with a battery's %s", async (attribute) => {
    const said = { type: "Battery", status: "Discharging", present: "1", scope: "System" };
    add("power_supply", "acpi/power_supply/BAT0", said);
    await breakAttribute(`acpi/power_supply/BAT0/${attribute}`);
    expect(await power.property("OnExternalPower")).toBe(false);
  });
  test("with a display's status", async () => {
    add("drm", "pci/drm/card0/card0-DP-1", { status: "connected", enabled: "enabled" });
    await breakAttribute("pci/drm/card0/card0-DP-1/status");
    expect(await power.property("Docked")).toBe(true);
  });
});

describe("Docked", () => {
  const connected = { status: "connected", enabled: "enabled" };
  const EXTERNAL = [
    ...[
      "VGA-1",
      "DVI-I-1",
      "DVI-D-1",
      "DVI-A-1",
      "Composite-1",
      "SVIDEO-1",
      "Component-1",
      "DIN-1",
    ],
    ...["DP-1", "DP-1-8", "HDMI-A-1", "HDMI-B-2", "TV-1"],
  ];
  const OTHER = [
    ...[
      "eDP-1",
      "LVDS-1",
      "DSI-1",
      "Unknown-1",
      "Virtual-1",
      "DPI-1",
      "Writeback-1",
      "USB-1",
      "SPI-1",
    ],
  ];
  test.each(EXTERNAL)("with a display on %s", async (name) => {
    add("drm", `pci/drm/card0/card0-${name}`, connected);
    expect(await power.property("Docked")).toBe(true);
  });
  test.each(OTHER)("not with a display on %s", async (name) => {
    add("drm", `pci/drm/card0/card0-${name}`, connected);
    expect(await power.property("Docked")).toBe(false);
  });
  test.each<[string, Record<string, string>, boolean]>([
    ["disconnected", { status: "disconnected", enabled: "enabled" }, false],
    ["disabled", { status: "connected", enabled: "disabled" }, false],
    ["not said to be enabled", { status: "connected" }, false],
    ["perhaps connected", { status: "unknown", enabled: "enabled" }, true],
    ["not said to be connected", { enabled: "enabled" }, true],
  ])("with a display that is %s", async (_what, attributes, is) => {
    add("drm", "pci/drm/card1/card1-DP-2", attributes);
    expect(await power.property("Docked")).toBe(is);
  });
});
