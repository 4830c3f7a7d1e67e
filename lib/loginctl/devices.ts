/** The devices of a seat, as udev's database in /run/udev has them; see sd-login(3), udev(7). */
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { basename } from "node:path";
import { hasCode } from "../linux/index.ts";
import { TREE } from "./environment.ts";
import type { Output } from "./output.ts";
import { shorten } from "./width.ts";

interface Device {
  /** Its folder below /sys. */
  path: string;
  subsystem: string;
  name: string;
  /** What it calls itself, if anything. */
  label: string | undefined;
  isMaster: boolean;
}

const read = <Result>(work: () => Result): Result | undefined => {
  try {
    return work();
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "ENODEV", "EINVAL", "EACCES", "EISDIR"))
      return undefined;
    throw error;
  }
};

/** The folder of the device that udev's database has under this id; undefined if it is gone. */
function folderOf(id: string): string | undefined {
  const number = /^([bc])(\d+:\d+)$/.exec(id);
  if (number) {
    return read(() =>
      realpathSync(`/sys/dev/${number[1] === "b" ? "block" : "char"}/${number[2]}`),
    );
  }
  if (id.startsWith("n")) {
    const name = (read(() => readdirSync("/sys/class/net")) ?? []).find(
      (entry) =>
        read(() => readFileSync(`/sys/class/net/${entry}/ifindex`, "utf8"))?.trim() === id.slice(1),
    );
    return name && read(() => realpathSync(`/sys/class/net/${name}`));
  }
  const named = /^\+([^:]+):(.+)$/.exec(id);
  if (!named) return undefined;
  const [, subsystem = "", name = ""] = named;
  return [
    `/sys/bus/${subsystem}/devices/${name}`,
    `/sys/class/${subsystem}/${name}`,
    `/sys/firmware/${subsystem}/${name}`,
  ]
    .filter((path) => existsSync(path))
    .map((path) => realpathSync(path))[0];
}

/** The device of this id if it belongs to the seat. */
function deviceOf(id: string, seat: string): Device | undefined {
  const path = folderOf(id);
  if (path === undefined) return undefined;
  const lines = (read(() => readFileSync(`/run/udev/data/${id}`, "utf8")) ?? "").split("\n");
  const tags = new Set(lines.filter((line) => line.startsWith("G:")).map((line) => line.slice(2)));
  const assigned = lines.find((line) => line.startsWith("E:ID_SEAT="))?.slice(10);
  if ((assigned || "seat0") !== seat || !tags.has("seat")) return undefined;
  const subsystem = read(() => basename(readlinkSync(`${path}/subsystem`)));
  if (subsystem === undefined) return undefined;
  const attribute = (name: string) =>
    read(() => readFileSync(`${path}/${name}`, "utf8"))?.trimEnd();
  return {
    path,
    subsystem,
    name: basename(path).replaceAll("!", "/"),
    label: attribute("name") ?? attribute("id"),
    isMaster: tags.has("master-of-seat"),
  };
}

/** The seat's devices by path, a sound card's control after its streams. */
function devicesOf(seat: string): Device[] {
  const tag = seat === "seat0" ? "seat" : seat;
  const ids = read(() => readdirSync(`/run/udev/tags/${tag}`)) ?? [];
  const order = ({ path }: Device) => path.replace(/\/(?=control[^/]*$)/, "/\u{10ffff}");
  return ids
    .flatMap((id) => deviceOf(id, seat) ?? [])
    .sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** Draws the seat's devices, each below the one that it hangs on. */
export function drawDevices(
  output: Output,
  seat: string,
  prefix: string,
  width: number | undefined,
): void {
  const devices = devicesOf(seat);
  if (devices.length === 0) output.line(`${prefix}${TREE.corner}(none)`);
  else draw(output, devices, prefix, width);
}

function draw(
  output: Output,
  devices: readonly Device[],
  prefix: string,
  width: number | undefined,
): void {
  for (let at = 0; at < devices.length; ) {
    const device = devices[at];
    if (!device) return;
    let end = at + 1;
    while (devices[end]?.path.startsWith(`${device.path}/`)) end++;
    const last = end === devices.length;
    const below = `${prefix}${last ? TREE.space : TREE.vertical}`;
    const label = device.label === undefined ? "" : ` "${device.label}"`;
    const text = `${device.isMaster ? "[MASTER] " : ""}${device.subsystem}:${device.name}${label}`;
    output.line(`${prefix}${last ? TREE.corner : TREE.branch}${shorten(device.path, width, 20)}`);
    output.line(`${below}${shorten(text, width, 70)}`);
    draw(output, devices.slice(at + 1, end), below, width === undefined ? width : width - 2);
    at = end;
  }
}
