/** `bun run iso`: the live medium. See docs/iso.md. */
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { run } from "../../lib/cli/index.ts";
import { requireRoot } from "../host.ts";
import { onInterrupt } from "../live/interrupt.ts";
import { lines } from "../live/progress.ts";
import { reported } from "../live/report.ts";
import { sourceDate } from "../package.ts";
import { buildStandin } from "./debian.ts";
import { readProfile } from "./profile.ts";

const main = defineCommand({
  meta: { name: "iso", description: "the live medium" },
  args: {
    base: { type: "string", description: "arch or debian", default: "arch" },
    out: { type: "string", description: "folder", default: "build/iso" },
  },
  async run({ args }) {
    await reported(async () => {
      requireRoot();
      await onInterrupt(async (signal) => {
        const report = lines((line) => console.log(line));
        const epoch = await sourceDate();
        const profile = await readProfile(epoch);
        const out = resolve(args.out);
        await mkdir(out, { recursive: true });
        const image = await buildStandin({ profile, epoch, out, signal, report });
        console.log(image);
      });
    });
  },
});

await run(main);
