/** org.freedesktop.login1.Manager: giving devices to seats. */
import { type Members, membersOf } from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import { ACTIONS } from "../permission/actions.ts";
import { attachDevice, checkedSeat, checkPath, flushDevices } from "../seats/attach.ts";
import { findSeat } from "../sessions/lookup.ts";

const { method } = membersOf<Login1>();

export const seatMethods: Members<Login1> = {
  AttachDevice: method(
    "ssb",
    ["seat_id", "sysfs_path", "interactive"],
    "",
    [],
    async ({ manager, authorizer }, [seatId, path, interactive], call) => {
      checkPath(path);
      const isOwn = ["", "self", "auto"].includes(seatId);
      const seat = isOwn ? (await findSeat(manager, seatId, call)).id : checkedSeat(seatId);
      await authorizer.authorize(
        { ...call, interactive: call.interactive || interactive },
        { action: ACTIONS.attachDevice, what: "attach devices to seats" },
      );
      attachDevice(seat, path);
    },
  ),
  FlushDevices: method(
    "b",
    ["interactive"],
    "",
    [],
    async ({ authorizer }, [interactive], call) => {
      await authorizer.authorize(
        { ...call, interactive: call.interactive || interactive },
        { action: ACTIONS.flushDevices, what: "take all devices back from seats" },
      );
      flushDevices();
    },
  ),
};
