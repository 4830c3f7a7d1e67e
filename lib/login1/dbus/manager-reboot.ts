/** org.freedesktop.login1.Manager: what the next boot is to be. */
import { busErrors, type Members, membersOf } from "../../dbus/index.ts";
import { firmware } from "../hardware/boot-firmware.ts";
import type { Login1 } from "../login1.ts";
import { ACTIONS, type Action } from "../permission/actions.ts";

const { method, property } = membersOf<Login1>();

/** A name that a boot loader's entry can have, by systemd's Boot Loader Interface. */
const ENTRY_NAME = /^[A-Za-z0-9+\-_.@?]{1,255}$/;

const SETUP = "reboot into the firmware's setup";
const MENU = "reboot into the boot loader's menu";
const ENTRY = "choose the boot loader's entry";

/** A method that says whether its setting can be made. */
const can = (action: Action, what: string, possible: () => boolean) =>
  method("", [], "s", ["result"], async ({ authorizer }, _body, call) =>
    possible() ? authorizer.ask(call, { action, what }) : "na",
  );

export const rebootMembers: Members<Login1> = {
  // OpenRC's init calls reboot(2) without a parameter, whatever the machine would take.
  CanRebootParameter: method("", [], "s", ["result"], (_login1) => "na"),
  SetRebootParameter: method("s", ["parameter"], "", [], (_login1) => {
    throw busErrors.notSupported("OpenRC passes no reboot parameter to the kernel.");
  }),
  RebootParameter: property("s", "false", (_login1) => ""),

  CanRebootToFirmwareSetup: can(
    ACTIONS.setRebootToFirmwareSetup,
    SETUP,
    () => firmware.canBootToSetup,
  ),
  SetRebootToFirmwareSetup: method(
    "b",
    ["enable"],
    "",
    [],
    async ({ authorizer }, [enable], call) => {
      if (!firmware.canBootToSetup) {
        throw busErrors.notSupported("Firmware does not support boot into firmware.");
      }
      await authorizer.authorize(call, { action: ACTIONS.setRebootToFirmwareSetup, what: SETUP });
      firmware.bootsToSetup = enable;
    },
  ),
  RebootToFirmwareSetup: property("b", "false", (_login1) => firmware.bootsToSetup),

  CanRebootToBootLoaderMenu: can(
    ACTIONS.setRebootToBootLoaderMenu,
    MENU,
    () => firmware.canShowMenu,
  ),
  SetRebootToBootLoaderMenu: method(
    "t",
    ["timeout"],
    "",
    [],
    async ({ authorizer }, [timeout], call) => {
      if (!firmware.canShowMenu) {
        throw busErrors.notSupported("Boot loader does not support boot into boot loader menu.");
      }
      await authorizer.authorize(call, { action: ACTIONS.setRebootToBootLoaderMenu, what: MENU });
      firmware.menuTimeout = timeout;
    },
  ),
  RebootToBootLoaderMenu: property("t", "false", (_login1) => firmware.menuTimeout),

  CanRebootToBootLoaderEntry: can(
    ACTIONS.setRebootToBootLoaderEntry,
    ENTRY,
    () => firmware.canBootEntry,
  ),
  SetRebootToBootLoaderEntry: method(
    "s",
    ["boot_loader_entry"],
    "",
    [],
    async ({ authorizer }, [entry], call) => {
      if (entry !== "" && !ENTRY_NAME.test(entry)) {
        throw busErrors.invalidArgs(`Boot loader entry name '${entry}' is not valid, refusing.`);
      }
      if (!firmware.canBootEntry) {
        throw busErrors.notSupported("Loader does not support boot into boot loader entry.");
      }
      if (entry !== "" && !firmware.entries.includes(entry)) {
        throw busErrors.notSupported(`Boot loader entry '${entry}' is not known.`);
      }
      await authorizer.authorize(call, { action: ACTIONS.setRebootToBootLoaderEntry, what: ENTRY });
      firmware.entry = entry;
    },
  ),
  RebootToBootLoaderEntry: property("s", "false", (_login1) => firmware.entry),
  BootLoaderEntries: property("as", "const", (_login1) => firmware.entries),
};
