/** org.freedesktop.login1.Manager: the configuration, and reading it again. */
import { type Members, membersOf } from "../../dbus/index.ts";
import { type Config, type ConfigKey, isObeyed, runtimeDirectoryInodes } from "../config.ts";
import { NEVER } from "../config-values.ts";
import type { Login1 } from "../login1.ts";
import { authorize } from "../permission.ts";
import { IDLE_AFTER } from "../session.ts";

const { method, property } = membersOf<Login1>();

type HandleKey = Extract<ConfigKey, `Handle${string}`> | "IdleAction";

/** What is done about a key, the lid or idleness: nothing, where nothing obeys the setting. */
const handled = (config: Config, key: HandleKey): string =>
  isObeyed(key) ? (config[key] ?? config.HandleLidSwitch) : "ignore";

const handles = (key: HandleKey) =>
  property("s", "const", ({ settings }) => handled(settings.config, key));

/** The same for a time; `otherwise` is what holds where nothing obeys it. */
const after = (key: "IdleActionSec" | "StopIdleSessionSec", otherwise: bigint) =>
  property("t", "const", ({ settings }) => (isObeyed(key) ? settings.config[key] : otherwise));

export const configMembers: Members<Login1> = {
  /** elogind's: reads the configuration again. */
  Reload: method("", [], "", [], async ({ settings }, _none, call) => {
    await authorize(call, { action: undefined, what: "have the configuration read again" });
    settings.reload();
  }),

  // Nothing here starts a terminal on a VT.
  NAutoVTs: property("u", "const", ({ settings }) =>
    isObeyed("NAutoVTs") ? Number(settings.config.NAutoVTs) : 0,
  ),
  KillOnlyUsers: property("as", "const", ({ settings }) => settings.config.KillOnlyUsers),
  KillExcludeUsers: property("as", "const", ({ settings }) => settings.config.KillExcludeUsers),
  KillUserProcesses: property("b", "const", ({ settings }) => settings.config.KillUserProcesses),
  UserStopDelayUSec: property("t", "const", ({ settings }) => settings.config.UserStopDelaySec),
  HandlePowerKey: handles("HandlePowerKey"),
  HandlePowerKeyLongPress: handles("HandlePowerKeyLongPress"),
  HandleRebootKey: handles("HandleRebootKey"),
  HandleRebootKeyLongPress: handles("HandleRebootKeyLongPress"),
  HandleSuspendKey: handles("HandleSuspendKey"),
  HandleSuspendKeyLongPress: handles("HandleSuspendKeyLongPress"),
  HandleHibernateKey: handles("HandleHibernateKey"),
  HandleHibernateKeyLongPress: handles("HandleHibernateKeyLongPress"),
  HandleLidSwitch: handles("HandleLidSwitch"),
  HandleLidSwitchExternalPower: handles("HandleLidSwitchExternalPower"),
  HandleLidSwitchDocked: handles("HandleLidSwitchDocked"),
  IdleAction: handles("IdleAction"),
  IdleActionUSec: after("IdleActionSec", IDLE_AFTER),
  RemoveIPC: property("b", "const", ({ settings }) => settings.config.RemoveIPC),
  RuntimeDirectorySize: property(
    "t",
    "const",
    ({ settings }) => settings.config.RuntimeDirectorySize,
  ),
  RuntimeDirectoryInodesMax: property("t", "const", ({ settings }) =>
    runtimeDirectoryInodes(settings.config),
  ),
  SessionsMax: property("t", "const", ({ settings }) => settings.config.SessionsMax),
  StopIdleSessionUSec: after("StopIdleSessionSec", NEVER),
};
