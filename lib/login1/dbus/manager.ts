/** org.freedesktop.login1.Manager, put together from its parts. */
import { type Interface, membersOf } from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import { managerProperties } from "./manager-properties.ts";
import { seatMethods } from "./manager-seats.ts";
import { sessionMethods } from "./manager-sessions.ts";

const { signal } = membersOf<Login1>();

export const managerInterface: Interface<Login1> = {
  name: "org.freedesktop.login1.Manager",
  members: { ...sessionMethods, ...seatMethods, ...managerProperties },
  signals: {
    SessionNew: signal("so", ["session_id", "object_path"]),
    SessionRemoved: signal("so", ["session_id", "object_path"]),
    UserNew: signal("uo", ["uid", "object_path"]),
    UserRemoved: signal("uo", ["uid", "object_path"]),
    SeatNew: signal("so", ["seat_id", "object_path"]),
    SeatRemoved: signal("so", ["seat_id", "object_path"]),
  },
};
