/** Devices by their numbers, as udev's database has them. */
import { characterDeviceOf } from "../../linux/index.ts";
import { characterDevice, udevRecord } from "../hardware/udev.ts";
import { takeable } from "./device-kinds.ts";
import type { DeviceLookup } from "./parts.ts";

export const deviceLookup: DeviceLookup = {
  find(number) {
    const device = characterDevice(number);
    return device && takeable(device);
  },
  isOpenOn: (fd, number) => characterDeviceOf(fd) === number,
  seatOf({ seatDevice }) {
    const record = udevRecord(seatDevice);
    return record?.hasSeat ? record.seat : undefined;
  },
};
