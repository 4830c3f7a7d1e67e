/** `bun run boot`: a medium's image in QEMU. See docs/iso.md. */
import { mkdir, readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { defineCommand } from "citty";
import { run, UsageFailure } from "../../lib/cli/index.ts";
import { HostError, requireRoot } from "../../scripts/host.ts";
import { onInterrupt } from "../../scripts/lib/interrupt.ts";
import { reported } from "../../scripts/lib/report.ts";
import { BootedMedium, type Firmware, saveSerial, stageTable } from "./index.ts";
import { awaitGreeter, awaitLogout, logInAtGreeter, SESSIONS } from "./session.ts";

const main = defineCommand({
  meta: {
    name: "boot",
    description: "a medium's image in QEMU: serial log, times, pictures of each stage",
  },
  args: {
    image: {
      type: "positional",
      description: "by default the newest of build/iso",
      required: false,
    },
    firmware: { type: "string", description: "bios or uefi", default: "bios", valueHint: "KIND" },
    folder: {
      type: "string",
      description: "where pictures and log go",
      default: "build/boot",
      valueHint: "FOLDER",
    },
    desktops: { type: "boolean", description: "log in to Sway and Openbox too", default: true },
  },
  async run({ args }) {
    if (args.firmware !== "bios" && args.firmware !== "uefi") {
      throw new UsageFailure(`--firmware ${args.firmware}: it must be bios or uefi`);
    }
    const firmware: Firmware = args.firmware;
    await reported("boot", async () => {
      requireRoot();
      const image = args.image ? resolve(args.image) : await newestImage();
      await mkdir(args.folder, { recursive: true });
      await onInterrupt((signal) => show(image, firmware, args.folder, args.desktops, signal));
    });
  },
});

async function newestImage(folder = "build/iso"): Promise<string> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const images = names.filter((name) => name.endsWith(".iso")).map((name) => join(folder, name));
  const dated = await Promise.all(
    images.map(async (path) => ({ path, time: (await stat(path)).mtimeMs })),
  );
  const [newest] = dated.sort((a, b) => b.time - a.time);
  if (newest) return resolve(newest.path);
  throw new HostError(`${folder} has no image: make one by bun run iso, or name one`);
}

async function show(
  image: string,
  firmware: Firmware,
  folder: string,
  desktops: boolean,
  signal: AbortSignal,
): Promise<void> {
  const medium = await BootedMedium.start({ image, firmware, signal });
  const picture = (name: string) => medium.screendump(join(folder, `${firmware}-${name}.png`));
  const reached = async (name: string) => {
    medium.reached(name);
    await picture(name.toLowerCase().replaceAll(" ", "-"));
    console.log(stageTable(medium.stages.slice(-1)));
  };
  try {
    await medium.choose("serial", () => picture("menu"));
    await medium.awaitBoot();
    console.log(stageTable(medium.stages));
    await awaitGreeter(medium);
    await reached("greeter");
    for (const session of desktops ? SESSIONS : []) {
      await logInAtGreeter(medium, session);
      await medium.press("meta_l", "ret");
      // The terminal draws its prompt.
      await sleep(20_000);
      await reached(session);
      await medium.press("ctrl", "alt", "l");
      await awaitLogout(medium);
    }
    console.log(`Pictures and the serial log are in ${folder}.`);
  } finally {
    await saveSerial(medium, join(folder, `${firmware}-serial.log`));
    await medium.stop();
  }
}

await run(main);
