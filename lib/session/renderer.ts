/** How a Wayland compositor of the wlroots family can draw: whether any graphics card has 3D. */
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";

/** The first of the virtio GPU's feature bits: 3D by virgl (VIRTIO specification, 5.7.3). */
const VIRTIO_GPU_F_VIRGL = 0;

/**
 * Whether a session has to be drawn by the processor, since no card can: wlroots would then try
 * OpenGL by software, which is slow and ends in crashes, where its own pixman renderer just works.
 *
 * A card can where it has a render node (the kernel's drm-uapi document); a virtio GPU has one in
 * any case, and can where the host offers virgl.
 *
 * @param folder where the kernel lists the cards
 * @returns false without any card: then there is nothing to tell by (a nested or headless session)
 */
export function needsSoftwareRenderer(folder = "/sys/class/drm"): boolean {
  const cards = names(folder).filter((name) => /^card\d+$/.test(name));
  return cards.length > 0 && !cards.some((card) => canRender(join(folder, card, "device")));
}

function canRender(device: string): boolean {
  if (!names(join(device, "drm")).some((name) => name.startsWith("renderD"))) return false;
  // The device of a card on virtio is the bus's or the virtio device itself.
  const below = names(device).find(isVirtio);
  const virtio = below ? join(device, below) : isVirtio(target(device)) ? device : undefined;
  return virtio === undefined || features(virtio)[VIRTIO_GPU_F_VIRGL] === "1";
}

function isVirtio(name: string): boolean {
  return /^virtio\d+$/.test(name);
}

/** A link's last name; "" where there is no such file. */
function target(path: string): string {
  try {
    return realpathSync(path).split("/").at(-1) ?? "";
  } catch {
    return "";
  }
}

/** Of a virtio device, a digit for each feature bit, the first bit first; "" where it says none. */
function features(device: string): string {
  try {
    return readFileSync(join(device, "features"), "utf8");
  } catch {
    return "";
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
