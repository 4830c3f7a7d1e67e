/**
 * What Calamares' modules take: the keys of their configuration and what each holds, as the modules'
 * schemas and code of 3.3 have them.
 */

/** A kind of value, one of some words, a list of something, or keys with their shapes. */
export type Shape =
  | "string"
  | "boolean"
  | "number"
  | { readonly oneOf: readonly string[] }
  | { readonly list: Shape }
  | { readonly keys: Readonly<Record<string, Shape>> };

const strings: Shape = { list: "string" };
const options: Shape = { keys: { tmpfs: "boolean", options: "string" } };
const CHECKS: Shape = {
  list: { oneOf: ["storage", "ram", "power", "internet", "root", "screen"] },
};

export const SHAPES: Readonly<Record<string, Readonly<Record<string, Shape>>>> = {
  bootloader: {
    efiBootLoader: { oneOf: ["grub", "systemd-boot", "sb-shim", "refind"] },
    grubInstall: "string",
    grubMkconfig: "string",
    grubCfg: "string",
    grubProbe: "string",
    efiBootMgr: "string",
    installEFIFallback: "boolean",
    efiBootloaderId: "string",
  },
  finished: {
    restartNowMode: { oneOf: ["never", "user-unchecked", "user-checked", "always"] },
    restartNowCommand: "string",
    notifyOnFinished: "boolean",
  },
  fstab: {
    crypttabOptions: "string",
    tmpOptions: { keys: { default: options, ssd: options } },
  },
  grubcfg: {
    overwrite: "boolean",
    keep_distributor: "boolean",
    kernel_params: strings,
    prefer_grub_d: "boolean",
    defaults: {
      keys: {
        GRUB_TIMEOUT: "number",
        GRUB_DEFAULT: "number",
        GRUB_DISABLE_RECOVERY: "boolean",
        GRUB_CMDLINE_LINUX: "string",
        GRUB_ENABLE_CRYPTODISK: "boolean",
      },
    },
  },
  keyboard: {
    xOrgConfFileName: "string",
    convertedKeymapPath: "string",
    writeEtcDefaultKeyboard: "boolean",
    useLocale1: "boolean",
    guessLayout: "boolean",
    configure: { keys: { kwin: "boolean" } },
  },
  locale: {
    region: {
      oneOf: [
        "Africa",
        "America",
        "Antarctica",
        "Asia",
        "Atlantic",
        "Australia",
        "Europe",
        "Pacific",
      ],
    },
    zone: "string",
    useSystemTimezone: "boolean",
    adjustLiveTimezone: "boolean",
    localeGenPath: "string",
  },
  luksbootkeyfile: {
    luks2Hash: { oneOf: ["pbkdf2", "argon2i", "argon2id", "default"] },
  },
  mount: {
    extraMounts: {
      list: {
        keys: {
          device: "string",
          fs: "string",
          mountPoint: "string",
          efi: "boolean",
        },
      },
    },
    btrfsSubvolumes: { list: { keys: { mountPoint: "string", subvolume: "string" } } },
    btrfsSwapSubvol: "string",
    mountOptions: {
      list: { keys: { filesystem: "string", options: strings, ssdOptions: strings } },
    },
  },
  openrcdmcryptcfg: { configFilePath: "string" },
  packages: {
    backend: { oneOf: ["pacman"] },
    skip_if_no_internet: "boolean",
    update_db: "boolean",
    update_system: "boolean",
    operations: { list: { keys: { try_remove: strings, remove: strings, install: strings } } },
  },
  partition: {
    efi: {
      keys: {
        mountPoint: "string",
        recommendedSize: "string",
        minimumSize: "string",
        label: "string",
      },
    },
    userSwapChoices: { list: { oneOf: ["none", "reuse", "small", "suspend", "file"] } },
    initialSwapChoice: { oneOf: ["none", "reuse", "small", "suspend", "file"] },
    luksGeneration: { oneOf: ["luks1", "luks2"] },
    enableLuksAutomatedPartitioning: "boolean",
    preCheckEncryption: "boolean",
    showNotEncryptedBootMessage: "boolean",
    initialPartitioningChoice: { oneOf: ["none", "erase", "replace", "alongside", "manual"] },
    allowManualPartitioning: "boolean",
    drawNestedPartitions: "boolean",
    alwaysShowPartitionLabels: "boolean",
    defaultFileSystemType: "string",
    availableFileSystemTypes: strings,
  },
  preservefiles: { files: { list: { keys: { from: "string", dest: "string", perm: "string" } } } },
  removeuser: { username: "string" },
  "services-openrc": {
    initdDir: "string",
    runlevelsDir: "string",
    services: { list: { keys: { name: "string", mandatory: "boolean", runlevel: "string" } } },
    disable: strings,
  },
  shellprocess: {
    dontChroot: "boolean",
    timeout: "number",
    script: strings,
    i18n: { keys: { name: "string" } },
  },
  umount: { emergency: "boolean" },
  unpackfs: {
    unpack: {
      list: {
        keys: { source: "string", sourcefs: "string", destination: "string", exclude: strings },
      },
    },
  },
  users: {
    defaultGroups: {
      list: { keys: { name: "string", must_exist: "boolean", system: "boolean" } },
    },
    sudoersGroup: "string",
    autologinGroup: "string",
    doAutologin: "boolean",
    setRootPassword: "boolean",
    doReusePassword: "boolean",
    passwordRequirements: { keys: { minLength: "number", libpwquality: strings } },
    allowWeakPasswords: "boolean",
    allowWeakPasswordsDefault: "boolean",
    user: {
      keys: {
        shell: "string",
        forbidden_names: strings,
        home_permissions: "string",
      },
    },
    hostname: {
      keys: {
        location: { oneOf: ["None", "EtcFile", "Hostnamed", "Transient"] },
        writeHostsFile: "boolean",
        template: "string",
        forbidden_names: strings,
      },
    },
    allowActiveDirectory: "boolean",
    presets: {
      keys: {
        fullName: { keys: { editable: "boolean" } },
        loginName: { keys: { editable: "boolean" } },
      },
    },
  },
  welcome: {
    showSupportUrl: "boolean",
    showKnownIssuesUrl: "boolean",
    showReleaseNotesUrl: "boolean",
    showDonateUrl: "boolean",
    requirements: {
      keys: {
        requiredStorage: "number",
        requiredRam: "number",
        internetCheckUrl: "string",
        check: CHECKS,
        required: CHECKS,
      },
    },
  },
};

/** What in a value is not as a shape says, a line for each, with the way to it. */
export function misfits(value: unknown, shape: Shape, path: string): string[] {
  if (typeof shape === "string") {
    const kind = value === null ? "nothing" : typeof value;
    return kind === shape ? [] : [`${path}: is a ${kind}, and not a ${shape}`];
  }
  if ("oneOf" in shape) {
    const found = shape.oneOf.some((word) => word === value);
    return found ? [] : [`${path}: ${value} is none of ${shape.oneOf.join(", ")}`];
  }
  if ("list" in shape) {
    if (!Array.isArray(value)) return [`${path}: is no list`];
    return value.flatMap((item, at) => misfits(item, shape.list, `${path}[${at}]`));
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return [`${path}: has no keys`];
  }
  return Object.entries(value).flatMap(([key, item]) => {
    const inner = shape.keys[key];
    return inner ? misfits(item, inner, `${path}.${key}`) : [`${path}.${key}: no such key`];
  });
}
