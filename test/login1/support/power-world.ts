/** What the tests of inhibitors, power and sleep share: fakes of what would end the machine, and questions to login1. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BusError, type Connection } from "../../../lib/dbus/index.ts";
import { callManager, getProperty } from "./client.ts";
import { World } from "./world.ts";

const NAME = "org.freedesktop.login1";
const MANAGER = `${NAME}.Manager`;

/**
 * Without wall messages, so that what is run for a shutdown is init's command and nothing else; and
 * what waits for an inhibitor goes on because that has ended, and not because it took too long.
 */
export const SETTINGS = "[Login]\nWallMessages=no\nInhibitDelayMaxSec=10min\n";

/** Notes how it was called, and fails if it is told to. */
const FAKE = `#!/bin/sh
printf '%s\\n' "\${0##*/} $*" >> /run/commands
env | cut -d= -f1 | sort > /run/environment
exit "$(cat "/run/fail-\${0##*/}" 2>/dev/null || echo 0)"
`;

/** Gives a world an openrc-shutdown, which the host need not have, and a wall(1); both only note it. */
export async function addCommands(world: World): Promise<void> {
  const script = "mount -t tmpfs -o mode=755 tmpfs /usr/local/sbin";
  const { code, stderr } = await world.run(["sh", "-c", script]);
  if (code !== 0) throw new Error(stderr);
  for (const name of ["openrc-shutdown", "wall"]) {
    writeFileSync(join(world.root, "usr/local/sbin", name), FAKE, { mode: 0o755 });
  }
}

export class PowerWorld {
  /** The manager's signals, as `NAME VALUES`. */
  readonly signals: string[] = [];

  private constructor(
    readonly world: World,
    readonly bus: Connection,
  ) {}

  /** A world whose openrc-shutdown and wall only note how they were called. */
  static async create(setUp = ""): Promise<PowerWorld> {
    const world = await World.create({ bridge: [] });
    const real = world.options.bridge;
    real.push(process.execPath, join(import.meta.dir, "../../../cmd/dbus-bridge.ts"));
    await addCommands(world);
    const script = `set -e; mkdir -p /run/lainos; printf '${SETTINGS}' > /run/lainos/logind.conf; ${setUp}`;
    const { code, stderr } = await world.run(["sh", "-c", script]);
    if (code !== 0) throw new Error(stderr);
    await world.startBridge();
    const bus = await world.connect();
    const made = new PowerWorld(world, bus);
    for (const member of [
      "PrepareForShutdown",
      "PrepareForShutdownWithMetadata",
      "PrepareForSleep",
    ]) {
      await bus.onSignal({ sender: NAME, interface: MANAGER, member }, ([active, details]) => {
        const type = (details as { type?: { value: string } } | undefined)?.type?.value;
        made.signals.push([member, active, type].filter((word) => word !== undefined).join(" "));
      });
    }
    return made;
  }

  /** What the fakes were called with since the last `reset`. */
  get commands(): string[] {
    const path = join(this.world.root, "run/commands");
    // A fake makes the file a moment before it writes its line.
    const text = existsSync(path) ? readFileSync(path, "utf8").trimEnd() : "";
    return text === "" ? [] : text.split("\n");
  }

  /** Writes a file of the world; its folder is made. */
  write(path: string, text: string, mode = 0o644): void {
    const full = join(this.world.root, path);
    mkdirSync(join(full, ".."), { recursive: true });
    writeFileSync(full, text, { mode });
  }

  read(path: string): string {
    return readFileSync(join(this.world.root, path), "utf8");
  }

  exists(path: string): boolean {
    return existsSync(join(this.world.root, path));
  }

  remove(...paths: string[]): void {
    for (const path of paths) rmSync(join(this.world.root, path), { recursive: true, force: true });
  }

  /** A new bridge, to which nothing is under way or scheduled, and no note of what was. */
  async reset(): Promise<void> {
    await this.world.endBridge("SIGKILL");
    this.remove(
      ...["run/systemd/operation", "run/systemd/shutdown", "run/nologin", "run/commands"],
      ...["run/fail-openrc-shutdown", "run/fail-wall"],
    );
    await this.world.startBridge();
    await this.world.reset(this.bus);
    this.signals.length = 0;
  }

  call(member: string, signature = "", ...body: unknown[]): Promise<unknown[]> {
    return callManager(this.bus, member, signature, body);
  }

  async ask(member: string): Promise<unknown> {
    return (await this.call(member))[0];
  }

  async inhibit(what: string, mode: string): Promise<number> {
    return (await this.call("Inhibit", "ssss", what, "test", "reason", mode))[0] as number;
  }

  property(name: string): Promise<unknown> {
    return getProperty(this.bus, "/org/freedesktop/login1", "Manager", name);
  }

  /** A call by busctl, as a user and in a session's scope if that is said; what it wrote. */
  async busctl(
    words: string[],
    options: { user?: number; cgroup?: string } = {},
  ): Promise<{ code: number; output: string }> {
    const { code, stdout, stderr } = await this.world.run(
      ["busctl", "call", NAME, "/org/freedesktop/login1", MANAGER, ...words],
      options,
    );
    return { code, output: (stdout + stderr).trim() };
  }

  async end(): Promise<void> {
    this.bus.close();
    await this.world.end();
  }
}

/** The last word of the D-Bus error that a call ends with; "none" if it does not. */
export async function errorOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "none";
  } catch (error) {
    if (error instanceof BusError) return error.errorName.split(".").at(-1) ?? "";
    throw error;
  }
}

/** A script's part: files in the place of the kernel's, which would put this machine to sleep, and a disk to swap to. */
export const FAKE_KERNEL = `mkdir -p /run/fake/power
mount --bind /run/fake/power /sys/power
for file in cmdline swaps meminfo; do
  touch /run/fake/$file
  mount --bind /run/fake/$file /proc/$file
done
mknod /dev/swap-disk b 7 201
`;
