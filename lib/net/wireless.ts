/** Wireless networks: iwd's adapters and devices turned on, as stations that scan. */
import type { Logger } from "../cli/index.ts";
import { BusError, type Connection } from "../dbus/index.ts";
import { Iwd, type IwdObject } from "./iwd.ts";
import { blocks, wirelessDevices } from "./rfkill.ts";

/** What `prepareWireless` works with. */
export interface WirelessOptions {
  log: Logger;
  /** Connects to the system bus; not called where there is nothing to prepare. */
  connect(): Promise<Connection>;
  /** /sys/class, or what stands for it. */
  sysClass?: string;
  /** How long to wait for iwd, and then for each thing that it makes, in milliseconds. */
  patience?: number;
}

/** A scan of its own that iwd makes at the same moment will do. */
const SCANS_ALREADY = ["net.connman.iwd.InProgress", "net.connman.iwd.Busy"];

/**
 * Turns on what wireless devices there are. No device is no error, and a blocked
 * one is left and named, since whoever blocked it wanted it off. Known networks
 * are left as they are: iwd joins those that are to be joined by themselves.
 *
 * @returns false if iwd did not come, or refused something; it is named
 */
export async function prepareWireless(options: WirelessOptions): Promise<boolean> {
  const { log, sysClass = "/sys/class", patience = 10_000 } = options;
  const devices = wirelessDevices(sysClass);
  if (devices.length === 0) {
    log.info("no wireless device, so nothing to prepare");
    return true;
  }
  const blocked = blocks(sysClass);
  for (const { switch: name, device, kind } of blocked) {
    const mend =
      kind === "hard"
        ? "turn on the machine's switch, key or firmware setting for wireless"
        : "rfkill unblock wlan, then rc-service iwd restart";
    log.warning(`${device} is off by a ${kind} block (${name}): ${mend}`);
  }
  const free = devices.filter((device) => !blocked.some((block) => block.device === device));
  if (free.length === 0) return true;

  const connection = await options.connect();
  try {
    const iwd = await Iwd.watch(connection);
    const later = () => AbortSignal.timeout(patience);
    const running = async () => (await iwd.running()) || undefined;
    if (!(await iwd.until(later(), running))) {
      log.error(`iwd is not on the bus after ${patience / 1000} s: rc-service iwd status`);
      return false;
    }
    let good = true;
    for (const device of free) good = (await prepareDevice(device, iwd, log, later)) && good;
    return good;
  } finally {
    connection.close();
  }
}

async function prepareDevice(
  name: string,
  iwd: Iwd,
  log: Logger,
  later: () => AbortSignal,
): Promise<boolean> {
  const first = (kind: string, is: (object: IwdObject) => boolean) =>
    iwd.until(later(), async () => (await iwd.objects(kind)).find(is));
  try {
    const adapter = await first("Adapter", ({ properties }) => properties.Name?.value === name);
    if (!adapter) {
      log.warning(`${name}: iwd does not manage it, so it stays as it is`);
      return true;
    }
    await iwd.set(adapter, "Adapter", "Powered", "b", true);
    const isOurs = ({ properties }: IwdObject) => properties.Adapter?.value === adapter.path;
    if (!(await first("Device", isOurs))) {
      log.error(`${name}: iwd has made no device of it (no interface of the kernel's)`);
      return false;
    }
    for (const device of (await iwd.objects("Device")).filter(isOurs)) {
      await iwd.set(device, "Device", "Mode", "s", "station");
      await iwd.set(device, "Device", "Powered", "b", true);
      const label = `${name}: ${device.properties.Name?.value}`;
      if (!(await first("Station", ({ path }) => path === device.path))) {
        log.error(`${label} did not become a station`);
        return false;
      }
      await scan(iwd, device.path);
      log.info(`${label} is on, and scans`);
    }
    return true;
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    log.error(`${name}: iwd refuses: ${error.errorName}: ${error.message}`);
    return false;
  }
}

async function scan(iwd: Iwd, path: string): Promise<void> {
  try {
    await iwd.scan(path);
  } catch (error) {
    if (!(error instanceof BusError && SCANS_ALREADY.includes(error.errorName))) throw error;
  }
}
