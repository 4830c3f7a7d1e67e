/** Logins by a real PAM in a world of their own: the module, compiled, and a program that logs in. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { buildPamModule } from "../../scripts/pam-module.ts";
import { FakeRoot, ROOT } from "../files/run.ts";
import { compile } from "../login1/support/probe.ts";
import { World, type WorldOptions } from "../login1/support/world.ts";
import { readUntil } from "../support/read-until.ts";

/** What a login found, and how it ends. */
export interface Login {
  /** The pid of the login program, which leads the session. */
  leader: number;
  /** What pam_open_session gave: 0 is success. */
  status: number;
  environment: Record<string, string>;
  /** Closes the session; returns what pam_close_session gave. */
  logOut(): Promise<number>;
}

/** The module and what it runs, in a folder that stands for the system's. */
export async function installModule(
  root: FakeRoot,
  helper: string,
  seconds?: number,
): Promise<string> {
  const module = join(root.path, "pam_systemd.so");
  await buildPamModule(module, helper, seconds);
  return module;
}

/** A world in which PAM has our module. */
export class PamWorld {
  readonly #children: Bun.Subprocess[] = [];

  private constructor(
    readonly world: World,
    readonly root: FakeRoot,
    /** The module's path. */
    readonly module: string,
  ) {}

  /** @param services the PAM files; `@module@` in them is the module's path */
  static async create(
    services: Record<string, string>,
    options: Partial<WorldOptions> = {},
  ): Promise<PamWorld> {
    const root = await FakeRoot.make();
    try {
      const script = "usr/libexec/lainos/pam-session";
      const module = await installModule(root, await root.copy(`files/${script}`, script));
      const init = `#!/bin/sh\nexec ${process.execPath} ${join(ROOT, "cmd/lainos-init.ts")} "$@"\n`;
      await root.write("usr/libexec/lainos/lainos-init", init, 0o755);
      await compile(join(import.meta.dir, "login.c"), "-lpam", root.path);
      for (const [name, text] of Object.entries(services)) {
        await root.write(`pam.d/${name}`, text.replaceAll("@module@", module));
      }
      const world = await World.create(options);
      const pam = new PamWorld(world, root, module);
      // Others than root come to it, too.
      await pam.must(["chmod", "755", root.path]);
      await pam.must(["mount", "--bind", `${root.path}/pam.d`, "/etc/pam.d"]);
      await pam.must(["install", "-m4755", pam.program, pam.setuidProgram]);
      return pam;
    } catch (error) {
      await root[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The login program. */
  get program(): string {
    return join(this.root.path, "login");
  }

  /** The same as su is: root, whoever calls it. */
  readonly setuidProgram = "/run/setuid-login";

  /** Runs a command of the world, which must succeed; returns what it printed. */
  async must(command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.world.run(command);
    if (code !== 0) throw new Error(`${command.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Where the homes of the users of `addUsers` are. */
  get homes(): string {
    return join(this.root.path, "home");
  }

  /** The system's accounts and these, in the world alone; none has a password. */
  async addUsers(users: Record<string, { uid: number; shell: string }>): Promise<void> {
    const all = Object.entries(users);
    const files: [path: string, lines: string[], mode: number][] = [
      [
        "/etc/passwd",
        all.map(
          ([name, { uid, shell }]) => `${name}:x:${uid}:${uid}::${this.homes}/${name}:${shell}`,
        ),
        0o644,
      ],
      ["/etc/group", all.map(([name, { uid }]) => `${name}:x:${uid}:`), 0o644],
      ["/etc/shadow", all.map(([name]) => `${name}:*:20000:0:99999:7:::`), 0o640],
    ];
    for (const [path, lines, mode] of files) {
      const text = `${readFileSync(path, "utf8")}${lines.join("\n")}\n`;
      await this.must(["mount", "--bind", await this.root.write(basename(path), text, mode), path]);
    }
    for (const [name, { uid }] of all) {
      await this.must(["install", "-d", `-o${uid}`, `-g${uid}`, `${this.homes}/${name}`]);
    }
  }

  /**
   * Logs somebody in.
   *
   * @param given items, variables and behaviour, as login.c takes them
   * @param env the login program's own environment
   * @param caller the uid of who calls it where it is setuid
   */
  async logIn(
    service: string,
    user: string,
    given: string[] = [],
    env: Record<string, string> = {},
    caller?: number,
  ): Promise<Login> {
    const program = caller === undefined ? this.program : this.setuidProgram;
    const command = ["env", ...assignments(env), program, service, user, ...given];
    const options = caller === undefined ? {} : { user: caller };
    const child = Bun.spawn(this.world.inside(command, options), {
      env: { PATH: "/usr/bin:/bin" },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#children.push(child);
    const [first = "", ...lines] = (await readUntil(child.stdout, /\n\n/)).trimEnd().split("\n");
    return {
      leader: child.pid,
      status: Number(first.replace("open ", "")),
      environment: Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2))),
      async logOut() {
        child.stdin.write("\n");
        await child.stdin.end();
        const said = await readUntil(child.stdout, /\n/);
        await child.exited;
        return Number(said.replace("close ", ""));
      },
    };
  }

  /** What login1 says of a session. */
  async session(id: string): Promise<Record<string, string>> {
    const stdout = await this.must(["loginctl", "show-session", id]);
    const lines = stdout.trimEnd().split("\n");
    return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
  }

  async end(): Promise<void> {
    await this.world.end();
    await Promise.all(this.#children.map((child) => child.exited));
    await this.root[Symbol.asyncDispose]();
  }
}

const assignments = (env: Record<string, string>) =>
  Object.entries(env).map(([name, value]) => `${name}=${value}`);
