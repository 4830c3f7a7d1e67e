/** `bun run repo`: the packages and their repositories. See docs/repository.md. */
import { join, resolve } from "node:path";
import { defineCommand } from "citty";
import { run, UsageFailure } from "../../lib/cli/index.ts";
import { onInterrupt } from "../lib/interrupt.ts";
import { reported } from "../lib/report.ts";
import { checkRepositories, reportFindings, SYNC } from "./check.ts";
import { makeRepositories, type Result } from "./make.ts";
import { ARCHITECTURE, REPOSITORIES } from "./repository.ts";
import { serve } from "./serve.ts";

/** Nothing failed, and yet there is not everything: sources that nobody has here. */
const INCOMPLETE = 3;

const out = {
  type: "string",
  description: "where the repositories are",
  default: "build/repository",
  valueHint: "FOLDER",
} as const;

const archDb = {
  type: "string",
  description: "a folder with Arch's core.db and extra.db, to compare with",
  default: SYNC,
  valueHint: "FOLDER",
} as const;

const buildArguments = {
  out,
  "arch-db": archDb,
  packages: {
    type: "string",
    description: "the folder with a PKGBUILD in a folder each",
    default: "packages",
    valueHint: "FOLDER",
  },
  work: {
    type: "string",
    description: "keeps packages, sources and logs from one run to the next",
    default: "build",
    valueHint: "FOLDER",
  },
  only: { type: "string", description: "build these, and keep the others", valueHint: "NAME,NAME" },
  sign: { type: "string", description: "sign by this GnuPG key", valueHint: "KEY" },
  release: { type: "boolean", description: "the smallest packages; takes minutes more" },
  check: { type: "boolean", description: "build nothing, and look at what is there" },
} as const;

const checkCommand = defineCommand({
  meta: { name: "check", description: "look at the repositories as a whole" },
  args: { out, "arch-db": archDb },
  run: ({ args }) => check(resolve(args.out), resolve(args["arch-db"])),
});

const serveCommand = defineCommand({
  meta: { name: "serve", description: "serve the repositories to a pacman over HTTP" },
  args: {
    out,
    port: { type: "string", description: "0 for any that is free", default: "8317" },
    host: { type: "string", description: "the address to listen on", default: "127.0.0.1" },
  },
  async run({ args }) {
    const port = Number(args.port);
    if (!Number.isInteger(port) || port < 0 || port > 65535) {
      throw new UsageFailure(`--port ${args.port}: it must be a number up to 65535`);
    }
    await reported("repo", async () => {
      const server = serve({ root: resolve(args.out), port, hostname: args.host });
      for (const name of REPOSITORIES) {
        console.log(`[${name}]\nServer = ${server.url}$repo/$arch\n`);
      }
      await onInterrupt((signal) => ended(signal)).finally(() => server.stop(true));
    });
  },
});

const main = defineCommand({
  meta: { name: "repo", description: "build the packages and their repositories" },
  args: buildArguments,
  subCommands: { check: checkCommand, serve: serveCommand },
  async run({ args }) {
    const place = resolve(args.out);
    if (args.check) return await check(place, resolve(args["arch-db"]));
    await reported("repo", async () => {
      const result = await onInterrupt((signal) =>
        makeRepositories({
          out: place,
          packages: resolve(args.packages),
          work: resolve(args.work),
          only: args.only?.split(",").filter((name) => name !== ""),
          sign: args.sign,
          level: args.release ? "release" : "fast",
          signal,
        }),
      );
      conclude(result, place);
    });
  },
});

async function check(root: string, databases: string): Promise<void> {
  await reported("repo", async () => {
    const findings = await checkRepositories(root, databases);
    for (const line of reportFindings(findings, root)) console.log(line);
    process.exitCode = findings.faults.length === 0 ? 0 : 1;
  });
}

function conclude({ outcomes, retained, trust, published }: Result, place: string): void {
  const failed = outcomes.filter(({ state }) => state === "failed");
  const unreachable = outcomes.filter(({ state }) => state === "unreachable");
  for (const { name, why } of failed) console.error(`repo: ${name} failed: ${why}`);
  for (const { name, why } of unreachable) console.error(`repo: ${name} was not built: ${why}`);
  for (const name of retained) console.error(`repo: ${name} is there as it was before`);
  if (!published) console.error("repo: there is no package to make a repository of");
  for (const name of published ? REPOSITORIES : []) {
    console.log(`${name}  Server = file://${join(place, name, ARCHITECTURE)}`);
  }
  if (published) console.log(trust);
  if (failed.length > 0) process.exitCode = 1;
  else if (unreachable.length > 0) process.exitCode = INCOMPLETE;
}

/** Waits for Ctrl-C, which is how serving is meant to end. */
function ended(signal: AbortSignal): Promise<void> {
  return new Promise((done) => signal.addEventListener("abort", () => done(), { once: true }));
}

await run(main);
