/** org.freedesktop.login1.Manager: giving devices to seats. */
import { type Members, membersOf } from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import { ACTIONS, authorize } from "../permission/authorize.ts";
import { attachDevice, flushDevices } from "../seats/seats.ts";
import { findSeat } from "../sessions/lookup.ts";

const { method } = membersOf<Login1>();

export const seatMethods: Members<Login1> = {
  AttachDevice: method(
    "ssb",
    ["seat_id", "sysfs_path", "interactive"],
    "",
    [],
    async ({ manager }, [seatId, path, interactive], call) => {
      const isOwn = seatId === "" || seatId === "self" || seatId === "auto";
      const seat = isOwn ? (await findSeat(manager, seatId, call)).id : seatId;
      await authorize(
        { ...call, interactive: call.interactive || interactive },
        { action: ACTIONS.attachDevice, what: "attach devices to seats" },
      );
      attachDevice(seat, path);
    },
  ),
  FlushDevices: method("b", ["interactive"], "", [], async (_login1, [interactive], call) => {
    await authorize(
      { ...call, interactive: call.interactive || interactive },
      { action: ACTIONS.flushDevices, what: "take all devices back from seats" },
    );
    flushDevices();
  }),
};
