/** Debian's Calamares with our configuration, in a root file system of its own, before an X server. */
import { cp, mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { $ } from "zx";
import { PALETTE } from "../../scripts/artwork/palette.ts";
import { ensureHostPackages } from "../../scripts/host.ts";
import { MEDIUM_ROOT } from "../../scripts/iso/debian.ts";
import { create, destroy, merged, upper, withOverlay } from "../../scripts/lib/overlay.ts";
import { ensureRootfs } from "../../scripts/lib/rootfs.ts";
import { missing } from "../../scripts/lib/state.ts";
import { buildByName } from "../../scripts/repo/build.ts";
import { type Picture, Screen } from "./screen.ts";

const ROOT = resolve(import.meta.dir, "../..");
export const CONFIG = join(ROOT, "packages/lainos-calamares-config-layer-02");

/** Where the pictures go, to be looked at. */
const PICTURES = join(ROOT, "build/calamares");

/** The bytes of the disk, none of which is there until it is written. */
const DISK = 20 * 2 ** 30;

const PATIENCE = 60_000;

/** What Calamares warns of on the stand-in, though nothing is wrong with the configuration. */
const EXPECTED = [
  // Our texts are in one language; Calamares' own are translated.
  "does not ship translations",
  // GPT with UEFI and MSDOS without is what is wanted.
  "*defaultPartitionTableType* is unset",
  // The picture of the keyboard, by a script that is not on the stand-in.
  "ckbcomp not found",
  // A disk with nothing on it, and no other system.
  'unknown file system type  ""',
  "Invalid osprober count",
  // Calamares' own calls of Qt (3.4.2).
  "called on BootLoaderModel",
  "QObject::setParent: Cannot set parent",
  "QLayout: Attempting to add QLayout",
];

export interface InstallerOptions {
  /** 1024x768 */
  readonly size: string;
  /** Files that are put over the package's, by their paths in the system. */
  readonly files?: Readonly<Record<string, string>>;
}

export class Installer {
  private readonly ending = new AbortController();
  private running: Promise<unknown> = Promise.resolve();
  private ended: Error | undefined;

  private constructor(
    readonly screen: Screen,
    private readonly name: string,
    private readonly folder: string,
    private loop = "",
  ) {}

  /** Builds and installs the package, and starts Calamares. What fails leaves nothing behind. */
  static async start(options: InstallerOptions): Promise<Installer> {
    await ensureHostPackages(["Xvfb", "xdotool", "pacman", "unshare"]);
    const signal = new AbortController().signal;
    const rootfs = await ensureRootfs(MEDIUM_ROOT, signal);
    const [packageFile = ""] = await buildByName([basename(CONFIG)], signal);
    const folder = await mkdtemp(join(tmpdir(), "p7-installer-"));
    const screen = await Screen.start(options.size);
    const installer = new Installer(screen, `calamares-${process.pid}`, folder);
    try {
      await create(installer.name, rootfs);
      await installer.install(rootfs, packageFile);
      await installer.home();
      for (const [path, text] of Object.entries(options.files ?? {})) {
        await writeFile(join(upper(installer.name), path), text);
      }
      await installer.attachDisk();
      installer.run(rootfs);
      return installer;
    } catch (error) {
      await installer.stop();
      throw error;
    }
  }

  /** By pacman; it knows nothing of dpkg's packages, which fill the dependencies. */
  private async install(rootfs: string, packageFile: string): Promise<void> {
    await mkdir(join(upper(this.name), "var/lib/pacman"), { recursive: true });
    const root = merged(this.name);
    const config = join(this.folder, "pacman.conf");
    await writeFile(config, "[options]\nArchitecture = x86_64\nLocalFileSigLevel = Never\n");
    await withOverlay(this.name, rootfs, [
      ...["pacman", "--root", root, "--dbpath", join(root, "var/lib/pacman"), "--config", config],
      ...["--cachedir", this.folder, "--hookdir", this.folder, "--gpgdir", this.folder],
      ...["--logfile", join(this.folder, "pacman.log"), "--noconfirm", "--noprogressbar"],
      ...["--nodeps", "--nodeps", "-U", packageFile],
    ]);
  }

  /** The desktop of the medium: Openbox goes by the skel. */
  private async home(): Promise<void> {
    await cp(join(ROOT, "airootfs/etc/skel"), join(upper(this.name), "root"), { recursive: true });
  }

  private async attachDisk(): Promise<void> {
    await writeFile(this.disk, "");
    await truncate(this.disk, DISK);
    const { stdout } = await $({ quiet: true })`losetup --find --show ${this.disk}`;
    this.loop = basename(stdout.trim());
  }

  private get disk(): string {
    return join(this.folder, "disk");
  }

  private run(rootfs: string): void {
    const start = join(import.meta.dir, "start.sh");
    const command = ["unshare", "--net", "--ipc", "--uts", "sh", start, merged(this.name)];
    const calamares = [this.loop, this.screen.display, "calamares", "-D8"];
    this.running = withOverlay(
      this.name,
      rootfs,
      [...command, ...calamares],
      this.ending.signal,
    ).then(
      () => {
        this.ended = new Error("Calamares has ended");
      },
      (error: Error) => {
        this.ended = error;
      },
    );
  }

  /** Bytes of the disk that have been written. */
  async written(): Promise<number> {
    return (await stat(this.disk)).blocks * 512;
  }

  /** Calamares' log (-D8). */
  async log(): Promise<string> {
    const file = join(upper(this.name), "root/.cache/calamares/session.log");
    return (await readFile(file, "utf8").catch(missing)) ?? "";
  }

  /** The warnings and errors in the log but those that are expected. */
  async faults(): Promise<string[]> {
    const lines = (await this.log())
      .split("\n")
      .filter((line) => /\b(?:WARNING|ERROR)\b/.test(line));
    return lines.filter((line) => !EXPECTED.some((text) => line.includes(text)));
  }

  /**
   * Calls a look until it finds something (neither undefined nor false).
   * @throws Error that names what did not come, with the last lines of the log, or why Calamares ended.
   */
  async until<Found>(what: string, look: () => Promise<Found | undefined | false>): Promise<Found> {
    for (const deadline = Date.now() + PATIENCE; Date.now() < deadline; await Bun.sleep(100)) {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      if (this.ended) throw this.ended;
    }
    await this.keep("failed");
    const tail = (await this.log()).split("\n").slice(-15).join("\n");
    throw new Error(`${what} did not come; the log's end:\n${tail}`);
  }

  async untilLogged(text: string): Promise<void> {
    await this.until(`"${text}" in the log`, async () => (await this.log()).includes(text));
  }

  /**
   * Which step of the sidebar is the current one, from 0: the place of the accent's block among rows
   * of its height. Undefined where none is.
   */
  async step(): Promise<number | undefined> {
    const { border, top, length } = runs(await this.screen.picture(), 8, PALETTE.accent);
    if (length < 20) return undefined;
    // A page may make the window larger, which then moves.
    this.first ??= top - border;
    return Math.round((top - border - this.first) / length);
  }

  /** Where the first step's block begins, from the window's border on. */
  private first: number | undefined;

  async untilStep(step: number): Promise<void> {
    await this.until(`step ${step}`, async () => (await this.step()) === step);
  }

  /** Whether the page lets one go on: the button is in the accent's colour. */
  async canGoOn(): Promise<boolean> {
    const picture = await this.screen.picture();
    const part = { left: picture.width - 260, top: picture.height / 2 };
    // Openbox draws the border of the window in the same colour, a pixel or two wide.
    return picture.count(PALETTE.accent, part) > 1000;
  }

  async untilCanGoOn(can: boolean): Promise<void> {
    await this.until(can ? "Next" : "no Next", async () => (await this.canGoOn()) === can);
  }

  /** Keeps what the screen shows as a PNG to be looked at. */
  async keep(name: string): Promise<Picture> {
    const picture = await this.screen.picture();
    await mkdir(PICTURES, { recursive: true });
    await writeFile(join(PICTURES, `${name}.png`), picture.png());
    return picture;
  }

  async stop(): Promise<void> {
    this.ending.abort();
    await this.running;
    await destroy(this.name);
    if (this.loop) await $({ quiet: true })`losetup --detach /dev/${this.loop}`;
    await this.screen.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/**
 * Of a colour in the column X: its first pixel, which is the window's border, and its longest run.
 */
function runs(
  picture: Picture,
  x: number,
  colour: string,
): { border: number; top: number; length: number } {
  const longest = { border: -1, top: 0, length: 0 };
  let length = 0;
  for (let y = 0; y < picture.height; y++) {
    length = picture.at(x, y) === colour ? length + 1 : 0;
    if (length === 1 && longest.border < 0) longest.border = y;
    if (length > longest.length) Object.assign(longest, { top: y - length + 1, length });
  }
  return longest;
}
