/** org.freedesktop.login1.Manager, put together from its parts. */
import { type Interface, membersOf } from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import { configMembers } from "./manager-config.ts";
import { createMembers } from "./manager-create.ts";
import { inhibitMembers } from "./manager-inhibit.ts";
import { lingerMembers } from "./manager-linger.ts";
import { powerMembers } from "./manager-power.ts";
import { managerProperties } from "./manager-properties.ts";
import { rebootMembers } from "./manager-reboot.ts";
import { seatMethods } from "./manager-seats.ts";
import { sessionMethods } from "./manager-sessions.ts";
import { sleepMembers } from "./manager-sleep.ts";

const { signal } = membersOf<Login1>();

export const managerInterface: Interface<Login1> = {
  name: "org.freedesktop.login1.Manager",
  members: {
    ...createMembers,
    ...sessionMethods,
    ...seatMethods,
    ...inhibitMembers,
    ...powerMembers,
    ...rebootMembers,
    ...sleepMembers,
    ...managerProperties,
    ...configMembers,
    ...lingerMembers,
  },
  signals: {
    SessionNew: signal("so", ["session_id", "object_path"]),
    SessionRemoved: signal("so", ["session_id", "object_path"]),
    UserNew: signal("uo", ["uid", "object_path"]),
    UserRemoved: signal("uo", ["uid", "object_path"]),
    SeatNew: signal("so", ["seat_id", "object_path"]),
    SeatRemoved: signal("so", ["seat_id", "object_path"]),
    SecureAttentionKey: signal("so", ["seat_id", "object_path"]),
    PrepareForSleep: signal("b", ["start"]),
    PrepareForShutdown: signal("b", ["start"]),
    PrepareForShutdownWithMetadata: signal("ba{sv}", ["start", "metadata"]),
  },
};
