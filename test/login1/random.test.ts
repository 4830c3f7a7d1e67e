/**
 * Thousands of random events, and after each the real libsystemd and the bus must
 * say the same. P7_SEED=N repeats a run; the seed of each is printed.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildView } from "./support/probe.ts";
import { RandomRun } from "./support/random-run.ts";
import { Random } from "./support/random-source.ts";
import { View } from "./support/views.ts";
import { World } from "./support/world.ts";

const EVENTS = 2000;

test(`libsystemd and the bus agree after each of ${EVENTS} random events`, async () => {
  const seed = Number(process.env.P7_SEED ?? Math.floor(Math.random() * 2 ** 32));
  process.stdout.write(`P7_SEED=${seed}\n`);
  const folder = mkdtempSync(join(tmpdir(), "p7-view-"));
  const world = await World.create();
  const view = new View(world, await buildView(folder));
  const bus = await world.connect();
  try {
    const run = await RandomRun.begin(world, bus, view, new Random(seed));
    for (let event = 1; event <= EVENTS; event++) {
      try {
        await run.step();
      } catch (error) {
        const last = run.history.slice(-12).join("\n  ");
        throw new Error(`P7_SEED=${seed}, event ${event}; the last events:\n  ${last}`, {
          cause: error,
        });
      }
    }
    await run.endAll();
    expect(run.counts()).toEqual(expect.objectContaining({ sessions: 0 }));
    process.stdout.write(`${JSON.stringify(run.tally)}\n`);
  } finally {
    bus.close();
    await view.end();
    await world.end();
    rmSync(folder, { recursive: true });
  }
}, 600_000);
