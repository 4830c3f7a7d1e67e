/**
 * The kinds of device that a session's controller can take, and what becomes of
 * each while the session is in the background: a graphics card loses DRM master,
 * an input device is revoked. See drm(7), the kernel's linux/input.h and linux/hidraw.h.
 */
import {
  close,
  type Fd,
  hasCode,
  ioctl,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDWR,
  open,
  SystemError,
} from "../../linux/index.ts";
import { parentDevice, type SystemDevice } from "../hardware/udev.ts";
import { login1Errors } from "../vocabulary/errors.ts";

const DRM_IOCTL_SET_MASTER = 0x641e;
const DRM_IOCTL_DROP_MASTER = 0x641f;
const EVIOCREVOKE = 0x4004_4591;
const HIDIOCREVOKE = 0x4004_480d;

/** How one kind of device is opened, and goes to the background and back. */
export interface DeviceKind {
  /**
   * Opens the device for the foreground or the background.
   *
   * @throws {SystemError}
   */
  open(node: string, active: boolean): Fd;
  /**
   * Brings an open device to the foreground.
   *
   * @returns the descriptor to use from now on: the same, or a new one, and then the old one is closed
   * @throws {SystemError} with the old one as it was
   */
  activate(fd: Fd, node: string): Fd;
  /**
   * Takes an open device to the background.
   *
   * @throws {SystemError}
   */
  deactivate(fd: Fd): void;
  /**
   * What the kind is while the file that the controller has open is lost to us; without one, a new
   * opening is as good.
   */
  withoutFile?: DeviceKind;
}

const openNode = (node: string) => open(node, O_RDWR | O_NOCTTY | O_NONBLOCK);

function closingOnFailure(fd: Fd, work: () => void): Fd {
  try {
    work();
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Its controller stays the master of what it has open, whatever is asked of our own opening. */
const lostCard: DeviceKind = {
  open: (node) => drm.open(node, false),
  activate: (fd) => fd,
  deactivate() {},
};

const drm: DeviceKind = {
  withoutFile: lostCard,
  open(node, active) {
    const fd = openNode(node);
    if (active) {
      return closingOnFailure(fd, () => ioctl(fd, DRM_IOCTL_SET_MASTER, 0, "DRM_IOCTL_SET_MASTER"));
    }
    try {
      // Who opens a card first is its master without having asked.
      ioctl(fd, DRM_IOCTL_DROP_MASTER, 0, "DRM_IOCTL_DROP_MASTER");
    } catch (error) {
      // EINVAL: it is not the master, which is what is wanted.
      if (!hasCode(error, "EINVAL")) {
        close(fd);
        throw error;
      }
    }
    return fd;
  },
  // The same open card throughout: what the controller has allocated on it stays.
  activate(fd) {
    ioctl(fd, DRM_IOCTL_SET_MASTER, 0, "DRM_IOCTL_SET_MASTER");
    return fd;
  },
  deactivate(fd) {
    ioctl(fd, DRM_IOCTL_DROP_MASTER, 0, "DRM_IOCTL_DROP_MASTER");
  },
};

/** A kind whose open files are revoked, for good: coming back takes a new opening. */
function revocable(request: number, name: string): DeviceKind {
  const revoke = (fd: Fd) => ioctl(fd, request, 0, name);
  return {
    open(node, active) {
      const fd = openNode(node);
      return active ? fd : closingOnFailure(fd, () => revoke(fd));
    },
    activate(fd, node) {
      const fresh = openNode(node);
      close(fd);
      return fresh;
    },
    deactivate(fd) {
      revoke(fd);
    },
  };
}

const evdev = revocable(EVIOCREVOKE, "EVIOCREVOKE");

const revocableHidraw = revocable(HIDIOCREVOKE, "HIDIOCREVOKE (Linux 6.12 and later)");

/** On a kernel that could not take it away again, nobody is given one. */
const hidraw: DeviceKind = {
  ...revocableHidraw,
  open(node, active) {
    const revoked = revocableHidraw.open(node, false);
    if (!active) return revoked;
    close(revoked);
    return openNode(node);
  },
};

export const DEVICE_KINDS = { drm, evdev, hidraw };

/** What is known of a device that can be taken. */
export interface TakeableDevice {
  kind: DeviceKind;
  node: string;
  /** The device that udev has given to a seat: itself, or for an event node the input device above it. */
  seatDevice: SystemDevice;
}

/**
 * A device as a controller may take it: a card of DRM, an event node of input, a hidraw node.
 *
 * @returns undefined for every other device, which nothing could take away again
 */
export function takeable(device: SystemDevice): TakeableDevice | undefined {
  const { name, subsystem, node } = device;
  if (node === undefined) return undefined;
  if (subsystem === "drm" && /^card\d+$/.test(name)) {
    return { kind: DEVICE_KINDS.drm, node, seatDevice: device };
  }
  if (subsystem === "hidraw" && name.startsWith("hidraw")) {
    return { kind: DEVICE_KINDS.hidraw, node, seatDevice: device };
  }
  if (subsystem === "input" && name.startsWith("event")) {
    const seatDevice = parentDevice(device, "input");
    return seatDevice && { kind: DEVICE_KINDS.evdev, node, seatDevice };
  }
  return undefined;
}

/**
 * Opens a device for the foreground, if that can be, or the background.
 *
 * @throws {BusError} the kernel's reason
 */
export function openFirst(device: TakeableDevice, active: boolean): { fd: Fd; active: boolean } {
  try {
    return { fd: device.kind.open(device.node, active), active };
  } catch (error) {
    // EINVAL can mean that somebody else is the card's master: the session gets it paused.
    if (active && hasCode(error, "EINVAL")) return openFirst(device, false);
    if (error instanceof SystemError) throw login1Errors.system(error.code, error.message);
    throw error;
  }
}
