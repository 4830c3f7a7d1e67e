/**
 * `bun bench/boot.ts [ROUNDS]`: what our daemons cost a boot, in seconds and MB: the stand-in medium
 * beside the same one without them, in turn, in QEMU. See docs/iso.md.
 */
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { buildStandin } from "../scripts/iso/debian.ts";
import { readProfile } from "../scripts/iso/profile.ts";
import { lines } from "../scripts/lib/progress.ts";
import { sourceDate } from "../scripts/makepkg.ts";
import { BootedMedium } from "../testbed/boot/index.ts";
import { awaitGreeter } from "../testbed/boot/session.ts";

interface Boot {
  /** From the kernel's first moment to the greeter's start, in seconds. */
  readonly greeter: number;
  /** Of memory that is neither free nor a cache, half a minute after the greeter, in MB. */
  readonly used: number;
}

/** When the greeter was started, in seconds since the kernel's start (proc(5)). */
const GREETER_START = `awk -v tick="$(getconf CLK_TCK)" '{ print $22 / tick }' \
  "/proc/$(pgrep -o -x tuigreet)/stat"`;

async function boot(image: string): Promise<Boot> {
  const medium = await BootedMedium.start({ image, firmware: "bios" });
  try {
    await medium.choose("serial");
    await medium.awaitBoot();
    await awaitGreeter(medium);
    await Bun.sleep(30_000);
    const figure = async (line: string) => Number(await medium.must(line));
    return {
      greeter: await figure(GREETER_START),
      used: await figure(
        'awk \'/^MemTotal|^MemAvailable/ { kb[$1] = $2 } END { print (kb["MemTotal:"] - kb["MemAvailable:"]) / 1000 }\' /proc/meminfo',
      ),
    };
  } finally {
    await medium.stop();
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const rounds = Number(process.argv[2] ?? 3);
const out = resolve(import.meta.dir, "../build/iso-bench");
await mkdir(out, { recursive: true });
const epoch = await sourceDate();
const shared = {
  profile: await readProfile(epoch),
  epoch,
  out,
  work: `${out}/work`,
  signal: new AbortController().signal,
  report: lines((line) => console.error(line)),
};
const images = {
  "with our daemons": await buildStandin(shared),
  "without them": await buildStandin({ ...shared, withoutDaemons: true }),
};
const boots = new Map<string, Boot[]>();
for (let round = 0; round < rounds; round++) {
  const order = Object.entries(images);
  // Who is first in one round is last in the next.
  for (const [name, image] of round % 2 === 0 ? order : order.toReversed()) {
    const measured = await boot(image);
    console.error(name, measured);
    boots.set(name, [...(boots.get(name) ?? []), measured]);
  }
}
for (const [name, all] of boots) {
  const show = (key: keyof Boot) => {
    const values = all.map((each) => each[key]);
    return `${median(values).toFixed(1)} (${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)})`;
  };
  console.log(`| ${name} | ${show("greeter")} | ${show("used")} |`);
}
