/** A real dbus-daemon of a test's own, with a policy that lets anybody do anything. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { busConfig } from "./bus-config.ts";

export interface PrivateBus {
  address: string;
  folder: string;
  stop(): Promise<void>;
}

/**
 * Starts a bus and waits until it listens.
 *
 * @param policy more policy, as dbus-daemon(1) has it, for the tests of ours
 */
export async function startBus(policy = ""): Promise<PrivateBus> {
  const folder = mkdtempSync(join(tmpdir(), "p7-bus-"));
  const address = `unix:path=${join(folder, "bus")}`;
  const config = join(folder, "bus.conf");
  const anything = '<allow own="*"/><allow send_type="method_call"/>';
  writeFileSync(config, busConfig(address, anything, policy));
  const daemon = Bun.spawn(
    ["dbus-daemon", `--config-file=${config}`, "--nofork", "--nopidfile", "--print-address"],
    { stdout: "pipe", stderr: "inherit" },
  );
  const reader = daemon.stdout.getReader();
  const { done } = await reader.read();
  if (done) throw new Error(`dbus-daemon ended with ${await daemon.exited}`);
  reader.releaseLock();
  return {
    address,
    folder,
    async stop() {
      daemon.kill();
      await daemon.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Runs a program on that bus (as its system and its session bus). */
export async function onBus(
  bus: PrivateBus,
  ...command: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    DBUS_SYSTEM_BUS_ADDRESS: bus.address,
    DBUS_SESSION_BUS_ADDRESS: bus.address,
    LC_ALL: "C.UTF-8",
  };
  const child = Bun.spawn(command, { env, stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}
