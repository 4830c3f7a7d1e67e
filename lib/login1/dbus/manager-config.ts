/** org.freedesktop.login1.Manager: the configuration, and reading it again. */
import { type Members, membersOf } from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import type { ConfigKey } from "../settings/logind-conf.ts";

const { method, property } = membersOf<Login1>();

type HandleKey = Extract<ConfigKey, `Handle${string}`> | "IdleAction";

/** An action, "" for one that is not set. */
const handles = (key: HandleKey) =>
  property("s", "const", ({ settings: { config } }) => config[key] ?? "");

/** elogind's: reads the configuration again. */
const reload = method("", [], "", [], async ({ settings, authorizer }, _none, call) => {
  await authorizer.authorize(call, {
    action: undefined,
    what: "have the configuration read again",
  });
  settings.reload();
});

export const configMembers: Members<Login1> = {
  // elogind's loginctl has called it by either name.
  Reload: reload,
  ReloadConfig: reload,

  // Nothing here starts a terminal on a VT, whatever the file says.
  NAutoVTs: property("u", "const", (_login1) => 0),
  KillOnlyUsers: property("as", "const", ({ settings }) => settings.config.KillOnlyUsers),
  KillExcludeUsers: property(
    "as",
    "const",
    ({ settings }) => settings.config.KillExcludeUsers ?? [],
  ),
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
  HandleSecureAttentionKey: handles("HandleSecureAttentionKey"),
  HandleLidSwitch: handles("HandleLidSwitch"),
  HandleLidSwitchExternalPower: handles("HandleLidSwitchExternalPower"),
  HandleLidSwitchDocked: handles("HandleLidSwitchDocked"),
  IdleAction: handles("IdleAction"),
  IdleActionUSec: property("t", "const", ({ settings }) => settings.config.IdleActionSec),
  HoldoffTimeoutUSec: property("t", "const", ({ settings }) => settings.config.HoldoffTimeoutSec),
  DesignatedMaintenanceTime: property(
    "s",
    "const",
    ({ settings }) => settings.config.DesignatedMaintenanceTime?.text ?? "",
  ),
  RemoveIPC: property("b", "const", ({ settings }) => settings.config.RemoveIPC),
  RuntimeDirectorySize: property(
    "t",
    "const",
    ({ settings }) => settings.config.RuntimeDirectorySize,
  ),
  RuntimeDirectoryInodesMax: property(
    "t",
    "const",
    ({ settings }) => settings.config.RuntimeDirectoryInodesMax,
  ),
  SessionsMax: property("t", "const", ({ settings }) => settings.config.SessionsMax),
  StopIdleSessionUSec: property("t", "const", ({ settings }) => settings.config.StopIdleSessionSec),
};
