/**
 * Random calls and events, the same at our bridge and at the real systemd-logind: replies, errors, signals,
 * properties and state files must be the same, but for what explained.ts explains. Each run prints its seed;
 * P7_SEED=N repeats it, and P7_STEPS=2000 makes it long.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildView, compile } from "../support/probe.ts";
import { Random } from "../support/random-source.ts";
import { Run } from "./run.ts";
import { Side } from "./side.ts";

const STEPS = Number(process.env.P7_STEPS ?? 200);
const SEED = Number(process.env.P7_SEED ?? Math.floor(Math.random() * 2 ** 32));

test(`${STEPS} random steps have the same result here and with systemd-logind`, async () => {
  process.stdout.write(`P7_SEED=${SEED} P7_STEPS=${STEPS}\n`);
  const folder = mkdtempSync(join(tmpdir(), "p7-differential-"));
  const sides: Side[] = [];
  try {
    const programs = {
      view: await buildView(folder),
      agents: await compile(join(import.meta.dir, "agents.c"), "-lsystemd", folder),
    };
    const ours = await Side.start("ours", programs);
    sides.push(ours);
    const logind = await Side.start("logind", programs);
    sides.push(logind);
    const run = new Run([ours, logind], new Random(SEED));
    expect(await run.begin()).toEqual([]);
    for (let step = 1; step <= STEPS; step++) {
      const found = await run.step();
      if (found.length === 0) continue;
      const last = run.history.slice(-12).join("\n  ");
      throw new Error(
        `P7_SEED=${SEED}, step ${step}: ${Bun.inspect(found)}\nthe last steps:\n  ${last}`,
      );
    }
    expect(logind.pid1?.noted).toEqual([]);
    process.stdout.write(`${JSON.stringify({ steps: run.tally, explained: run.explained })}\n`);
  } finally {
    for (const side of sides) await side.end();
    rmSync(folder, { recursive: true });
  }
}, 3_600_000);
