/** lainos-net-init: sets the kernel's hardening keys and reads each back; prepares wireless networks. */
import { defineCommand } from "citty";
import { createLogger, Failure, run, UsageFailure, visible } from "../lib/cli/index.ts";

const NAME = "lainos-net-init";

export const command = defineCommand({
  meta: { name: NAME, description: "Hardens the network and the kernel by sysctl keys" },
  args: {
    check: {
      type: "boolean",
      description: "change nothing, print how each key stands, exit 1 if one differs",
    },
    only: { type: "string", valueHint: "net|kernel|fs|vm|dev", description: "only these keys" },
    except: {
      type: "string",
      valueHint: "KEY,...",
      description: "leave these keys as they are: net.ipv6.conf.*.disable_ipv6",
    },
    sysctl: {
      type: "boolean",
      description: "change nothing, print the keys as a file of sysctl.d(5)",
    },
    wireless: {
      type: "boolean",
      description: "only turn the wireless devices on through iwd, then run resolvconf -u",
    },
    procSys: {
      type: "string",
      default: "/proc/sys",
      valueHint: "DIR",
      description: "use DIR instead of /proc/sys",
    },
  },
  async run({ args }) {
    const { applyHardening, compareHardening, formatTable, hardeningKeys, SCOPES, sysctlFile } =
      await import("../lib/net/index.ts");
    if (args.wireless) {
      const other = (["check", "sysctl", "only", "except"] as const).find((name) => args[name]);
      if (other) throw new UsageFailure(`--wireless and --${other}: only one of them`);
      await wireless();
      return;
    }
    if (args.sysctl) {
      process.stdout.write(sysctlFile());
      return;
    }
    const scopes = SCOPES.filter((scope) => args.only === undefined || args.only === scope);
    if (scopes.length === 0)
      throw new UsageFailure(`--only ${args.only}: must be of ${SCOPES.join(", ")}`);
    const except = (args.except ?? "").split(",").filter(Boolean);
    const unknown = except.find((key) => !hardeningKeys().includes(key));
    if (unknown !== undefined) {
      throw new UsageFailure(`--except ${unknown}: must be of ${hardeningKeys().join(", ")}`);
    }
    const choice = { scopes, except };
    if (args.check) {
      const results = compareHardening(args.procSys, choice);
      process.stdout.write(formatTable(results).map(visible).join("\n").concat("\n"));
      const wrong = results.some(({ state }) => state === "differs" || state === "failed");
      if (wrong) process.exitCode = 1;
      return;
    }
    const log = createLogger(NAME);
    const results = applyHardening(args.procSys, choice);
    for (const { key, wanted, found, state, why } of results) {
      if (state === "lacking") log.warning(`${key}: this kernel has no such key, so it is not set`);
      if (state === "failed") {
        log.error(
          `${key} is ${found === "" ? "empty" : (found ?? "unreadable")} and not ${wanted}: ${why}`,
        );
      }
    }
    const count = (state: string) => results.filter((result) => result.state === state).length;
    log.info(
      `${count("set")} keys set, ${count("right")} right already, ${count("lacking")} lacking, ${count("failed")} failed`,
    );
    if (count("failed") > 0) throw new Failure("not all keys could be set: see above");
  },
});

async function wireless(): Promise<void> {
  const log = createLogger(NAME);
  const { prepareWireless, updateResolvConf } = await import("../lib/net/index.ts");
  const { Connection } = await import("../lib/dbus/index.ts");
  const prepared = await prepareWireless({ log, connect: () => Connection.open() });
  const updated = await updateResolvConf(log);
  if (!prepared || !updated) throw new Failure("not all is prepared: see above");
}

if (import.meta.main) await run(command);
