/**
 * Debian's Calamares, unmodified, with our configuration and branding: from the first page to the
 * summary, by keys and pointer as a person has them. The pictures are in build/calamares.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PALETTE } from "../../scripts/artwork/palette.ts";
import { MEDIUM_ROOT } from "../../scripts/iso/debian.ts";
import { ensureRootfs } from "../../scripts/lib/rootfs.ts";
import { CONFIG, Installer, type InstallerOptions } from "./installer.ts";
import type { Picture } from "./screen.ts";

const TIMEOUT = 300_000;
const PASSWORD = "close the world";

/** The pages, by their places in the sidebar. */
const PAGES = ["welcome", "locale", "keyboard", "partition", "users", "summary"] as const;
type Page = (typeof PAGES)[number];

let installer: Installer | undefined;

afterEach(async () => {
  await installer?.stop();
  installer = undefined;
}, TIMEOUT);

async function start(options: InstallerOptions): Promise<Installer> {
  installer = await Installer.start(options);
  return installer;
}

/** The page with every requirement met, which is where a person begins. */
async function welcome(size: string): Promise<Installer> {
  const started = await start({ size });
  await started.untilLogged("All requirements have been checked");
  await started.untilCanGoOn(true);
  await started.untilStep(0);
  return started;
}

async function goOn(started: Installer, page: Page): Promise<void> {
  await started.screen.press("alt+n");
  await started.untilStep(PAGES.indexOf(page));
}

/** Erases the disk, on the page partition: by its keys, from the list of disks on. */
async function chooseErase(started: Installer): Promise<void> {
  await started.untilLogged("LIST OF DETECTED DEVICES");
  await started.untilCanGoOn(false);
  await started.screen.press("alt+v", "Tab", "space");
  await started.untilCanGoOn(true);
}

/** Of Calamares' mark behind two passphrases that are the same. */
const TAKEN = "#27ae60";

/** The middle of the one box to tick on the page, once it is drawn: a square of the quiet colour, not a round one. */
function boxIn(picture: Picture): readonly [x: number, y: number] | undefined {
  for (let x = 0; x + 20 < picture.width; x++) {
    let run = 0;
    for (let y = 0; y < picture.height; y++) {
      run = picture.at(x, y) === PALETTE.quiet ? run + 1 : 0;
      if (run === 15 && picture.at(x + 14, y - 7) === PALETTE.quiet) return [x + 7, y - 7];
    }
  }
  return undefined;
}

/** Types a password and its repetition on the page users, whose first field has the focus. */
async function twice(started: Installer, one: string, other: string): Promise<void> {
  await started.screen.press("Tab", "Tab", "Tab", "ctrl+a");
  await started.screen.type(one);
  await started.screen.press("Tab", "ctrl+a");
  await started.screen.type(other);
}

/** The modules with a page that a log says are loaded, in their order. */
function pagesLoaded(log: string): string[] {
  return [...log.matchAll(/ViewModule "(\w+)@\w+" loading complete/g)].map(([, name = ""]) => name);
}

describe("the installer", () => {
  test(
    "restarts the computer by a command that the medium has",
    async () => {
      const { restartNowCommand } = Bun.YAML.parse(
        await readFile(join(CONFIG, "modules/finished.conf"), "utf8"),
      ) as { restartNowCommand: string };
      const [command = "", option = ""] = restartNowCommand.split(" ");
      const rootfs = await ensureRootfs(MEDIUM_ROOT, new AbortController().signal);
      const done = Bun.spawnSync(["chroot", rootfs, command, "--help"]);
      expect(done.stdout.toString()).toContain(option);
    },
    TIMEOUT,
  );

  test(
    "goes from the first page to the summary, and writes nothing on the way",
    async () => {
      const started = await welcome("1024x768");
      const first = await started.keep("1-welcome");
      // The sidebar with the logo, the step on the accent, and the picture of the branding.
      expect(first.at(20, 500)).toBe(PALETTE.panel);
      expect(first.count(PALETTE.accent, { right: 190 })).toBeGreaterThan(5000);
      expect(first.count(PALETTE.accent, { left: 400, right: 800 })).toBeGreaterThan(500);
      expect(first.count(PALETTE.background)).toBeGreaterThan(200_000);

      await goOn(started, "locale");
      await started.keep("2-locale");
      await goOn(started, "keyboard");
      await started.keep("3-keyboard");
      await goOn(started, "partition");
      await chooseErase(started);
      await started.keep("4-partition");

      const box = await started.until("a box to tick", async () =>
        boxIn(await started.screen.picture()),
      );
      await started.screen.click(...box);
      await started.screen.press("Tab");
      await started.screen.type(PASSWORD);
      await started.screen.press("Tab");
      await started.screen.type(PASSWORD);
      // The disk is laid out anew then, and a window that says so lets nobody press Next.
      await started.until("the passphrase is taken", async () => {
        const isTaken = (await started.screen.picture()).count(TAKEN) > 200;
        return isTaken && (await started.screen.windows()).length === 1;
      });
      await started.keep("4-partition-encrypted");
      await goOn(started, "users");

      await started.untilCanGoOn(false);
      await started.screen.type("Lain Iwakura");
      // Too short, too easy, not the same twice: with none of them one comes further.
      for (const [one, other] of [
        ["navi", "navi"],
        ["password", "password"],
        [PASSWORD, `${PASSWORD}!`],
      ] as const) {
        await twice(started, one, other);
        await started.keep(`5-users-${one.split(" ")[0]}`);
        await started.screen.press("alt+n", "alt+b");
        await started.untilStep(PAGES.indexOf("partition"));
        await goOn(started, "users");
      }
      await twice(started, PASSWORD, PASSWORD);
      await started.untilCanGoOn(true);
      await started.keep("5-users");

      await goOn(started, "summary");
      await started.untilLogged('fsName :   "luks"');
      await started.keep("6-summary");
      expect(await started.written()).toBe(0);
      expect(await started.faults()).toEqual([]);
      expect(pagesLoaded(await started.log())).toEqual([...PAGES, "finished"]);
    },
    TIMEOUT,
  );

  test(
    "fits on a screen of 800 by 600",
    async () => {
      const started = await welcome("800x600");
      await started.keep("small-1-welcome");
      await goOn(started, "locale");
      await started.keep("small-2-locale");
      await goOn(started, "keyboard");
      await started.keep("small-3-keyboard");
      await goOn(started, "partition");
      await chooseErase(started);
      await started.keep("small-4-partition");
      await goOn(started, "users");
      await started.keep("small-5-users");
    },
    TIMEOUT,
  );
});
