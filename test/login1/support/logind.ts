/** systemd-logind itself in a world, with what stands for PID 1 next to it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { callManager } from "./client.ts";
import { compile } from "./probe.ts";
import { World } from "./world.ts";

const SYSTEMD1 = join(import.meta.dir, "../../../bench/systemd1.c");
const LOGIND = "/usr/lib/systemd/systemd-logind";

/** A world whose login1 is systemd's. */
export class LogindWorld {
  private constructor(
    readonly world: World,
    readonly bus: Connection,
    private readonly folder: string,
  ) {}

  /** @throws {Error} with the log, if it does not start */
  static async create(): Promise<LogindWorld> {
    const folder = mkdtempSync(join(tmpdir(), "p7-logind-"));
    let world: World | undefined;
    try {
      const systemd1 = await compile(SYSTEMD1, "-lsystemd", folder);
      const policies = ["org.freedesktop.systemd1.conf"];
      world = await World.create({ bridge: [], ownPids: true, policies });
      const first = Bun.spawn(world.inside([systemd1]), { stdin: "ignore", stdout: "pipe" });
      const { done } = await first.stdout.getReader().read();
      if (done) throw new Error("what stands for PID 1 did not start");
      Bun.spawn(world.inside([LOGIND]), { stdio: ["ignore", "ignore", "ignore"] });
      const bus = await world.connect();
      await world.until("systemd-logind answers", () =>
        callManager(bus, "ListSeats").then(
          () => true,
          () => false,
        ),
      );
      return new LogindWorld(world, bus, folder);
    } catch (error) {
      await world?.end();
      rmSync(folder, { recursive: true });
      throw error;
    }
  }

  async end(): Promise<void> {
    this.bus.close();
    await this.world.end();
    rmSync(this.folder, { recursive: true });
  }
}
