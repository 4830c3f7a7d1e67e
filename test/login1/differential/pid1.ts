/**
 * What systemd-logind asks of PID 1, answered as systemd answers it: units that start and stop, a session's
 * scope as a cgroup with its leader in it, signals to a unit's processes, and the word that a unit is gone.
 * It makes a user's runtime directory and nothing else of a user's manager, and only notes what would end or
 * suspend the machine. systemd itself cannot be here: it is PID 1 or nothing.
 */
import { chownSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import {
  BusError,
  type Connection,
  escapeLabel,
  type IncomingCall,
  Variant,
} from "../../../lib/dbus/index.ts";
import { hasCode, pidOfPidfd } from "../../../lib/linux/index.ts";
import { kill } from "../../../lib/linux/processes/process.ts";
import type { World } from "../support/world.ts";

const NAME = "org.freedesktop.systemd1";
const PATH = "/org/freedesktop/systemd1";
const MANAGER = `${NAME}.Manager`;
const [SIGHUP, SIGTERM, SIGCONT] = [1, 15, 18];

/** `a-b.slice` is in `a.slice`: systemd.slice(5). */
function sliceFolder(slice: string): string {
  const parts = slice.replace(/\.slice$/, "").split("-");
  return parts.map((_, at) => `/${parts.slice(0, at + 1).join("-")}.slice`).join("");
}

export class Pid1 {
  /** What would have ended the machine or had it sleep, and what it could not do. */
  readonly noted: string[] = [];
  /** Units that are active; of a scope where its cgroup is. */
  readonly #units = new Map<string, string>();
  #jobs = 0;

  private constructor(
    private readonly world: World,
    private readonly bus: Connection,
  ) {}

  /** Takes the name in a world. */
  static async start(world: World): Promise<Pid1> {
    const pid1 = new Pid1(world, await world.connect());
    pid1.bus.onCall((call) => pid1.#answer(call));
    await pid1.bus.requestName(NAME);
    return pid1;
  }

  /** Whether a scope lost its last process, which is told then. To be called until it is not so. */
  sweep(): boolean {
    let any = false;
    for (const [unit, folder] of this.#units) {
      if (folder === "" || !this.#isEmpty(folder)) continue;
      any = true;
      this.#remove(unit);
    }
    return any;
  }

  close(): void {
    this.bus.close();
  }

  #isEmpty(folder: string): boolean {
    return readFileSync(`${folder}/cgroup.events`, "utf8").includes("populated 0");
  }

  #remove(unit: string): void {
    const folder = this.#units.get(unit);
    if (folder === undefined) return;
    this.#units.delete(unit);
    if (folder !== "") rmdirSync(folder);
    const uid = /^user-runtime-dir@(\d+)\.service$/.exec(unit)?.[1];
    if (uid !== undefined) {
      // It is bound to the folder (BindsTo=).
      this.#remove(`user@${uid}.service`);
      rmSync(`${this.world.root}/run/user/${uid}`, { recursive: true });
    }
    this.bus.signal(PATH, MANAGER, "UnitRemoved", "so", [unit, this.#pathOf(unit)]);
  }

  #pathOf = (unit: string) => `${PATH}/unit/${escapeLabel(unit)}`;

  #answer(call: IncomingCall): void {
    try {
      const methods: Record<string, (call: IncomingCall) => void> = {
        Subscribe: () => this.bus.reply(call),
        StartTransientUnit: () => this.#startScope(call),
        StartUnit: () => this.#startUnit(call),
        StopUnit: () => this.#stopUnit(call),
        KillUnit: () => this.#killUnit(call),
        Abandon: () => this.#abandon(call),
        Get: () => this.#get(call),
      };
      const method = methods[call.member];
      // polkitd asks for units too, and goes on without.
      if (!method) throw new BusError("org.freedesktop.DBus.Error.UnknownMethod", call.member);
      method(call);
    } catch (error) {
      if (!(error instanceof BusError)) this.noted.push(`${call.member}: ${error}`);
      const name =
        error instanceof BusError ? error.errorName : "org.freedesktop.DBus.Error.Failed";
      this.bus.fail(call, new BusError(name, String(error)));
    }
  }

  /** Answers with a job, which is done. */
  #job(call: IncomingCall, unit: string): void {
    const id = ++this.#jobs;
    const path = `${PATH}/job/${id}`;
    this.bus.reply(call, "o", [path]);
    this.bus.signal(PATH, MANAGER, "JobRemoved", "uoss", [id, path, unit, "done"]);
  }

  #startScope(call: IncomingCall): void {
    const [unit, , list] = call.body as [string, string, [string, Variant][]];
    const properties = new Map(list.map(([key, variant]) => [key, variant.value]));
    const pidfds = (properties.get("PIDFDs") as number[] | undefined) ?? [];
    const pids = [
      ...((properties.get("PIDs") as number[] | undefined) ?? []),
      ...pidfds.map((fd) => pidOfPidfd(fd)),
    ];
    const slice = String(properties.get("Slice") ?? "system.slice");
    const folder = `${this.world.cgroupFolder}${sliceFolder(slice)}/${unit}`;
    mkdirSync(folder, { recursive: true });
    for (const pid of pids) writeFileSync(`${folder}/cgroup.procs`, `${pid}`);
    this.#units.set(unit, folder);
    this.#job(call, unit);
  }

  #startUnit(call: IncomingCall): void {
    const unit = String(call.body[0]);
    const uid = /^user-runtime-dir@(\d+)\.service$/.exec(unit)?.[1];
    if (uid !== undefined && !this.#units.has(unit)) {
      const path = `${this.world.root}/run/user/${uid}`;
      mkdirSync(path, { recursive: true, mode: 0o700 });
      chownSync(path, Number(uid), Number(uid));
    }
    if (unit.endsWith(".target")) this.noted.push(`start ${unit}`);
    else this.#units.set(unit, "");
    this.#job(call, unit);
  }

  #stopUnit(call: IncomingCall): void {
    const unit = this.#known(String(call.body[0]));
    if (this.#units.get(unit) !== "") {
      for (const signal of [SIGTERM, SIGCONT, SIGHUP]) this.#signal(unit, signal);
    }
    this.#job(call, unit);
    if (this.#units.get(unit) === "") this.#remove(unit);
  }

  #killUnit(call: IncomingCall): void {
    const [unit, , signal] = call.body as [string, string, number];
    if (unit.endsWith(".slice")) {
      const inside = `${this.world.cgroupFolder}${sliceFolder(unit)}/`;
      const scopes = [...this.#units].filter(([, folder]) => folder.startsWith(inside));
      for (const [scope] of scopes) this.#signal(scope, signal);
    } else {
      this.#signal(this.#known(unit), signal);
    }
    this.bus.reply(call);
  }

  #abandon(call: IncomingCall): void {
    const known = [...this.#units].some(([unit]) => this.#pathOf(unit) === call.path);
    if (!known) throw new BusError(`${NAME}.NoSuchUnit`, call.path);
    this.bus.reply(call);
  }

  #get(call: IncomingCall): void {
    const [, property] = call.body as [string, string];
    const isActive = [...this.#units].some(([unit]) => this.#pathOf(unit) === call.path);
    if (property === "LoadState") {
      this.bus.reply(call, "v", [new Variant("s", "loaded")]);
      return;
    }
    // Every job is done when it is told of.
    if (property !== "ActiveState") {
      throw new BusError("org.freedesktop.DBus.Error.UnknownObject", call.path);
    }
    this.bus.reply(call, "v", [new Variant("s", isActive ? "active" : "inactive")]);
  }

  #known(unit: string): string {
    if (!this.#units.has(unit))
      throw new BusError(`${NAME}.NoSuchUnit`, `Unit ${unit} not loaded.`);
    return unit;
  }

  #signal(unit: string, signal: number): void {
    const folder = this.#units.get(unit);
    if (!folder) return;
    const pids = readFileSync(`${folder}/cgroup.procs`, "utf8").split("\n").filter(Boolean);
    for (const pid of pids) {
      try {
        kill(Number(pid), signal);
      } catch (error) {
        if (!hasCode(error, "ESRCH")) throw error;
      }
    }
  }
}
