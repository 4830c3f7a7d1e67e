import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsSoftwareRenderer } from "../../lib/session/renderer.ts";
import { cleanUp, folder } from "./support.ts";

cleanUp();

const bits = (virgl: "0" | "1") => `${virgl}${"0".repeat(63)}\n`;

/** A /sys/class/drm in which each card is a link to its device, as the kernel has it. */
function cards(...kinds: ("3D" | "frame buffer" | "virgl" | "plain virtio" | "virtio on MMIO")[]) {
  const top = folder();
  const list = join(top, "class/drm");
  mkdirSync(list, { recursive: true });
  for (const [index, kind] of kinds.entries()) {
    const bus = join(top, `devices/pci${index}`);
    const device = kind === "virtio on MMIO" ? join(bus, `virtio${index}`) : bus;
    const card = join(device, `drm/card${index}`);
    mkdirSync(card, { recursive: true });
    symlinkSync(device, join(card, "device"));
    symlinkSync(card, join(list, `card${index}`));
    // A connector, which is no card.
    mkdirSync(join(list, `card${index}-Virtual-1`));
    if (kind !== "frame buffer") mkdirSync(join(device, `drm/renderD${128 + index}`));
    if (kind === "virtio on MMIO") writeFileSync(join(device, "features"), bits("0"));
    if (kind === "virgl" || kind === "plain virtio") {
      mkdirSync(join(device, `virtio${index}`));
      writeFileSync(join(device, `virtio${index}/features`), bits(kind === "virgl" ? "1" : "0"));
    }
  }
  return list;
}

test.each<[string, () => string, boolean]>([
  ["a card with a render node", () => cards("3D"), false],
  ["a frame buffer of the firmware's", () => cards("frame buffer"), true],
  ["a virtio GPU whose host offers 3D", () => cards("virgl"), false],
  ["a virtio GPU whose host does not", () => cards("plain virtio"), true],
  ["the same on another bus", () => cards("virtio on MMIO"), true],
  ["one card of several that can", () => cards("plain virtio", "3D"), false],
  ["no card", () => cards(), false],
  ["no list of cards", () => join(cards(), "none"), false],
])("%s", (_, list, expected) => {
  expect(needsSoftwareRenderer(list())).toBe(expected);
});
