/** A world whose /run can be broken: what its openrc-shutdown notes is elsewhere. */
import { PowerWorld } from "../login1/support/power-world.ts";

const NOTES = "usr/local/sbin/notes";
const FAILS = "usr/local/sbin/fails";
const SHUTDOWN = `#!/bin/sh
echo "$*" >>/${NOTES}
[ ! -e /${FAILS} ]
`;

/** Files in the place of the kernel's, which would put this machine to sleep, and a folder of hooks. */
const SET_UP = `
mkdir -p /usr/local/sbin/power /usr/local/sbin/etc/up /usr/local/sbin/etc/work
mount --bind /usr/local/sbin/power /sys/power
mount -t overlay -o lowerdir=/etc,upperdir=/usr/local/sbin/etc/up,workdir=/usr/local/sbin/etc/work overlay /etc
`;

export class FaultyPower {
  private constructor(readonly power: PowerWorld) {}

  static async create(): Promise<FaultyPower> {
    const power = await PowerWorld.create(SET_UP);
    power.write("usr/local/sbin/openrc-shutdown", SHUTDOWN, 0o755);
    return new FaultyPower(power);
  }

  get world() {
    return this.power.world;
  }

  /** What init was told since `reset`. */
  get told(): string[] {
    return this.power.exists(NOTES) ? this.power.read(NOTES).trim().split("\n") : [];
  }

  /** What the kernel was told to do. */
  get state(): string {
    return this.power.read("usr/local/sbin/power/state");
  }

  /** Has openrc-shutdown fail from now on, or work. */
  failShutdown(fail: boolean): void {
    if (fail) this.power.write(FAILS, "");
    else this.power.remove(FAILS);
  }

  /** A hook that can call a sleep off. */
  hook(name: string, body: string): void {
    this.power.write(`etc/lainos/sleep.d/${name}`, `#!/bin/sh\n${body}\n`, 0o755);
  }

  /** Nothing scheduled, under way or noted. */
  async reset(): Promise<void> {
    this.power.remove(NOTES, FAILS, "etc/lainos");
    this.power.write("usr/local/sbin/power/state", "freeze mem disk\n");
    this.power.write("usr/local/sbin/power/disk", "");
    this.power.write("usr/local/sbin/power/mem_sleep", "s2idle [deep]\n");
    await this.power.reset();
  }
}
