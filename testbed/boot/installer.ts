/** Calamares on the live medium's screen, driven by the keys that a person has. */
import { setTimeout as sleep } from "node:timers/promises";
import { PALETTE } from "../../scripts/artwork/palette.ts";
import { HostError } from "../../scripts/host.ts";
import type { BootedMedium } from "./index.ts";
import { asUser, type Person } from "./session.ts";

/** The steps of the sidebar, by their places. */
export const STEPS = [
  ...(["welcome", "locale", "keyboard", "partition", "users", "summary", "install"] as const),
  "finished",
] as const;
export type InstallerStep = (typeof STEPS)[number];

/** What is chosen; all else is left as the pages offer it. */
export interface Choices {
  /** Presses what chooses a time zone, with the focus on the list of regions. */
  readonly zone: readonly string[];
  /** Presses what chooses a layout, with the focus on the keyboard's model. */
  readonly layout: readonly string[];
  readonly fileSystem: "ext4" | "btrfs";
  /** The passphrase of an encrypted disk. */
  readonly passphrase?: string;
  readonly fullName: string;
  readonly person: Required<Person>;
  readonly hostname: string;
}

/** A page without KVM and on a busy host, in milliseconds. */
const PAGE_TIMEOUT = 240_000;

/** How long a look at the disks takes, or at what a choice means for them; the same. */
const SCAN_TIME = 15_000;

/** All of the copying, the initramfs and the boot loader. */
const INSTALL_TIMEOUT = 3_600_000;

/** Reading the log while the machine is busy with the disk. */
export const LOG_TIMEOUT = 600_000;

/** Calamares' log, as calamares_polkit has it written. */
export const LOG = "/root/.cache/calamares/session.log";

/** The window's, by our branding. */
export const TITLE = "LainOS layer 02 Installer";

/** More than the window's frame is thick, in pixels. */
const FRAME = 5;

/** A row of the sidebar is at least so large; no other block of the accent's colour is. */
const ROW = { width: 150, height: 30 };

/** Who is told how far it is. */
export interface Follower {
  /** A page is left. */
  page(step: InstallerStep): Promise<void>;
  /** A job begins, as Calamares' log names it. */
  job(name: string): void;
}

/**
 * Goes through all pages and waits for the last one.
 * @throws HostError where a page does not come, and with the log's end where Calamares gives up.
 */
export async function install(
  medium: BootedMedium,
  choices: Choices,
  follower: Follower,
): Promise<void> {
  const top = await medium.waitFor(
    async () => (await currentRow(medium))?.top,
    "the installer",
    PAGE_TIMEOUT,
  );
  const goOn = async (step: InstallerStep) => {
    // Alt and a letter are the letter to a list, while the button is off.
    await medium.waitFor(() => canGoOn(medium), `the way on to ${step}`, PAGE_TIMEOUT);
    await follower.page(STEPS[STEPS.indexOf(step) - 1] ?? step);
    await pressUntil(medium, top, step, "alt-n");
    // What is drawn first may not listen yet.
    await sleep(3000);
  };
  await goOn("locale");
  await presses(medium, choices.zone);
  await goOn("keyboard");
  await presses(medium, choices.layout);
  await goOn("partition");
  await choosePartitions(medium, choices);
  await goOn("users");
  await tellUser(medium, choices);
  await goOn("summary");
  // The button, and the question that it leads to.
  await follower.page("summary");
  await presses(medium, ["alt-i"]);
  await sleep(10_000);
  await pressUntil(medium, top, "install", "alt-i");
  await untilInstalled(medium, top, follower);
  await follower.page("finished");
}

/** Erases the disk; the keys go from the list of disks on. */
async function choosePartitions(medium: BootedMedium, choices: Choices): Promise<void> {
  // A window that says what is scanned takes the keys at first.
  await sleep(SCAN_TIME);
  await presses(medium, ["alt-v", "tab", "spc"]);
  await medium.waitFor(() => canGoOn(medium), "the choice of erasing the disk", PAGE_TIMEOUT);
  await sleep(SCAN_TIME);
  if (choices.fileSystem === "btrfs") {
    await presses(medium, ["tab", "tab", "b"]);
    await sleep(SCAN_TIME);
  }
  if (choices.passphrase !== undefined) {
    // Cancel has the same letter and comes first; of two, a press only moves the focus.
    await presses(medium, ["alt-c", "alt-c", "spc"]);
    // It has to have a passphrase before one can go on.
    await medium.waitFor(async () => !(await canGoOn(medium)), "the box for encryption");
    await presses(medium, ["tab"]);
    await medium.type(choices.passphrase);
    await presses(medium, ["tab"]);
    await medium.type(choices.passphrase);
    await sleep(2000);
  }
}

/** The page has its focus on the full name; a field that is entered by Tab is marked as a whole. */
async function tellUser(medium: BootedMedium, choices: Choices): Promise<void> {
  const { fullName, person, hostname } = choices;
  for (const field of [fullName, person.name, hostname, person.password, person.password]) {
    await medium.type(field);
    await sleep(1000);
    await medium.press("tab");
    await sleep(1000);
  }
  await medium.waitFor(() => canGoOn(medium), "a user's page that is complete", PAGE_TIMEOUT);
}

async function untilInstalled(
  medium: BootedMedium,
  top: number,
  follower: Follower,
): Promise<void> {
  const deadline = Date.now() + INSTALL_TIMEOUT;
  let last: string | undefined;
  for (;;) {
    // X turns the screen off after ten minutes without a key.
    await medium.press("shift");
    // The last page comes after a failure too.
    const over = (await stepNow(medium, top)) === "finished";
    const { stdout } = await medium.run(
      `grep "Installation failed" ${LOG}; grep -o "Starting job .*" ${LOG} | tail -n 1`,
      LOG_TIMEOUT,
    );
    const job = /Starting job (.*)/.exec(stdout)?.[1];
    if (job !== undefined && job !== last) follower.job(job);
    last = job;
    if (stdout.includes("Installation failed") || Date.now() > deadline) {
      const end = await medium.run(`tail -n 20 ${LOG}`, LOG_TIMEOUT);
      throw new HostError(`the installation does not end well:\n${end.stdout}`);
    }
    if (over) return;
    await sleep(20_000);
  }
}

/** Presses keys one after the other: "tab", "alt-n". */
async function presses(medium: BootedMedium, keys: readonly string[]): Promise<void> {
  for (const key of keys) {
    await medium.press(...key.split("-"));
    // Beyond the time in which letters would count as one word in a list (Qt's, 400 ms).
    await sleep(1200);
  }
}

/** Presses what leads to a step, and again where a window that came up in between has taken it. */
async function pressUntil(
  medium: BootedMedium,
  top: number,
  step: InstallerStep,
  keys: string,
): Promise<void> {
  let pressed = 0;
  await medium.waitFor(
    async () => {
      if ((await stepNow(medium, top)) === step) return true;
      if (Date.now() - pressed > 30_000) {
        pressed = Date.now();
        await presses(medium, [keys]);
      }
      return false;
    },
    `the installer's page ${step}`,
    PAGE_TIMEOUT,
  );
}

/** The step that the sidebar marks; undefined where the window is not there or covered. */
async function stepNow(medium: BootedMedium, top: number): Promise<InstallerStep | undefined> {
  const row = await currentRow(medium);
  return row && STEPS[Math.round((row.top - top) / row.height)];
}

/**
 * The marked row of the sidebar: a block in the accent's colour, in the left half of the screen.
 * Its top is that in the window, which moves up where a page makes it taller.
 */
async function currentRow(
  medium: BootedMedium,
): Promise<{ top: number; height: number } | undefined> {
  const { stdout } = await asUser(medium, `xwininfo -name "${TITLE}"`, PAGE_TIMEOUT);
  const windowTop = Number(/Absolute upper-left Y:\s+(\d+)/.exec(stdout)?.[1]);
  if (Number.isNaN(windowTop)) return undefined;
  const { width, height, at } = await medium.screen();
  const isRow = (x: number, y: number) =>
    at(x, y) === PALETTE.accent && at(x + ROW.width, y) === PALETTE.accent;
  for (let x = 0; x + ROW.width < width / 2; x += 20) {
    for (let y = 0; y < height; y++) {
      if (!isRow(x, y)) continue;
      let end = y;
      while (end < height && isRow(x, end)) end++;
      if (end - y >= ROW.height) return { top: y - windowTop, height: end - y };
      y = end;
    }
  }
  return undefined;
}

/** Whether the button that leads on is in the accent's colour, which the window's frame has too. */
async function canGoOn(medium: BootedMedium): Promise<boolean> {
  const { width, height, at } = await medium.screen();
  const isAccent = (x: number, y: number) => at(x, y) === PALETTE.accent;
  let found = 0;
  for (let y = Math.round(height * 0.8); y < height - FRAME; y++) {
    for (let x = Math.round(width * 0.6); x < width - FRAME; x++) {
      if (isAccent(x, y) && isAccent(x + FRAME, y) && isAccent(x, y + FRAME)) found++;
    }
  }
  return found > 300;
}
