/** `bun run iso`: the live medium. See docs/iso.md. */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { cancel, confirm, isCancel, select } from "@clack/prompts";
import { defineCommand } from "citty";
import { run, UsageFailure } from "../../lib/cli/index.ts";
import { HostError, hostKind, requireRoot } from "../host.ts";
import { onInterrupt } from "../lib/interrupt.ts";
import { removeUnmounted } from "../lib/mounts.ts";
import { drawn, lines, type Reporter } from "../lib/progress.ts";
import { reported } from "../lib/report.ts";
import { lock } from "../lock.ts";
import { sourceDate } from "../makepkg.ts";
import { checkKey, signFile } from "../sign.ts";
import { buildByMkarchiso } from "./arch.ts";
import { checkProfile } from "./check.ts";
import { buildStandin, REPLACED } from "./debian.ts";
import { type Base, checkArchHost, checkSpace } from "./preflight.ts";
import { type Profile, readProfile } from "./profile.ts";
import { hasKeys, trustLine } from "./trust.ts";

interface Choice {
  readonly base: Base;
  readonly out: string;
  readonly work: string;
  /** The id of the GnuPG key that signs; undefined to sign nothing. */
  readonly sign: string | undefined;
}

const buildArguments = {
  base: {
    type: "string",
    description: "arch, by mkarchiso, or debian, the stand-in; by default as the host is",
    valueHint: "NAME",
  },
  out: { type: "string", description: "where the image goes", default: "build/iso" },
  work: { type: "string", description: "for what is made on the way", default: "build/iso/work" },
  sign: { type: "string", description: "sign it by this GnuPG key", valueHint: "KEY" },
} as const;

const checkCommand = defineCommand({
  meta: { name: "check", description: "look at profile/ and airootfs/ without building" },
  async run() {
    await reported("iso", async () => {
      const faults = await checkProfile(await readProfile(await sourceDate()));
      for (const fault of faults) console.log(fault);
      console.log(faults.length === 0 ? "profile/ and airootfs/ are right" : "");
      process.exitCode = faults.length === 0 ? 0 : 1;
    });
  },
});

const main = defineCommand({
  meta: { name: "iso", description: "the live medium's image" },
  args: buildArguments,
  subCommands: { check: checkCommand },
  async run({ args }) {
    if (args.base !== undefined && args.base !== "arch" && args.base !== "debian") {
      throw new UsageFailure(`--base ${args.base}: it must be arch or debian`);
    }
    const given = args.base as Base | undefined;
    await reported("iso", async () => {
      const base = given ?? (await hostKind());
      const asks = process.stdin.isTTY && process.argv.length <= 2;
      const choice = { base, out: resolve(args.out), work: resolve(args.work), sign: args.sign };
      const chosen = asks ? await ask(choice) : choice;
      if (chosen === undefined) return;
      requireRoot();
      await onInterrupt((signal) => build(chosen, signal));
    });
  },
});

/** The questions of a start without arguments. @returns undefined where the answer is no. */
async function ask(choice: Choice): Promise<Choice | undefined> {
  const base = await select<Base>({
    message: "Which medium?",
    initialValue: choice.base,
    options: [
      { value: "arch", label: "LainOS", hint: "from Arch's packages by mkarchiso" },
      { value: "debian", label: "The stand-in", hint: "the same over Debian, to try things out" },
    ],
  });
  const go = isCancel(base) ? base : await confirm({ message: `Build it into ${choice.out}?` });
  if (isCancel(base) || isCancel(go) || !go) {
    cancel("Nothing was built.");
    return undefined;
  }
  return { ...choice, base };
}

async function build(choice: Choice, signal: AbortSignal): Promise<void> {
  const { base, out, sign } = choice;
  // The same name for each build, since mkarchiso writes it into the image (boot/syslinux/hdt).
  const work = join(choice.work, base);
  const report: Reporter = process.stdout.isTTY ? drawn : lines((line) => console.log(line));
  const epoch = await sourceDate();
  const profile = await readProfile(epoch);
  const keys = await hasKeys();
  console.log(trustLine(keys));
  await report.step("Host and profile", async () => {
    if (base === "arch") await checkArchHost();
    if (sign !== undefined) await checkKey(sign);
    await checkSpace(choice.work, base);
    const faults = await checkProfile(profile);
    if (faults.length > 0) throw new HostError(`the profile is wrong:\n  ${faults.join("\n  ")}`);
  });
  await mkdir(out, { recursive: true });
  const log = join(out, "mkarchiso.log");
  const release = await lock(`${work}.lock`, signal);
  try {
    // mkarchiso would go on where a build that was killed ended.
    await removeUnmounted(work);
    const shared = { profile, epoch, out, work, signal, report };
    const image =
      base === "arch"
        ? await buildByMkarchiso({ ...shared, keys, log })
        : await buildStandin({ ...shared });
    await report.step("Checksum", () => writeChecksum(image));
    if (sign !== undefined) await report.step("Signature", () => signFile(image, sign, signal));
    conclude(image, base, profile);
    console.log(`\n${trustLine(keys)}`);
  } finally {
    await removeUnmounted(work).finally(release);
  }
}

/** IMAGE.sha256, for sha256sum --check. */
async function writeChecksum(image: string): Promise<void> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const bytes of Bun.file(image).stream()) hash.update(bytes);
  await writeFile(`${image}.sha256.new`, `${hash.digest("hex")}  ${basename(image)}\n`);
  await rename(`${image}.sha256.new`, `${image}.sha256`);
}

function conclude(image: string, base: Base, { iso_label }: Profile): void {
  if (base === "debian") {
    console.log("\nOn the stand-in, in place of what Debian lacks:");
    for (const [what, by] of Object.entries(REPLACED)) console.log(`  ${what}: ${by}`);
  }
  const megabytes = (Bun.file(image).size / 1e6).toFixed(0);
  console.log(`\n${image}  (${megabytes} MB, label ${iso_label})`);
  console.log("  bun run boot               start it in QEMU");
  console.log(`  dd if=${image} of=/dev/sdX bs=4M oflag=sync status=progress`);
}

await run(main);
