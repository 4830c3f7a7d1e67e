/** When OpenRC's marks say that a service is stopped. */
import { afterEach, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { watchStops } from "../../../lib/notify/services/openrc.ts";
import { placesBelow } from "../../../lib/notify/services/service-of-process.ts";
import { until } from "../../support/until.ts";
import { cleanUp, later, newFolder } from "../support/world.ts";

afterEach(cleanUp);

test("a stop is told when it begins and when it has ended, and a start is not", async () => {
  const root = newFolder();
  const mark = (state: string) => join(root, "run/openrc", state, "cupsd");
  for (const state of ["started", "stopping", "starting"]) {
    mkdirSync(join(mark(state), ".."), { recursive: true });
  }
  writeFileSync(mark("started"), "");
  const told: string[] = [];
  const endWatch = watchStops(
    placesBelow(root),
    (service) => void told.push(service),
    () => {},
  );
  later(() => endWatch?.());
  const move = (from: string, to?: string) => {
    if (to !== undefined) writeFileSync(mark(to), "");
    rmSync(mark(from));
  };
  const tellings = (count: number) =>
    until(
      `it is told ${count} times`,
      () => told,
      ({ length }) => length >= count,
    );
  move("started", "stopping");
  await tellings(1);
  move("stopping");
  await tellings(2);
  writeFileSync(mark("starting"), "");
  move("starting", "started");
  move("started");
  await tellings(3);
  expect(told).toEqual(["cupsd", "cupsd", "cupsd"]);
});

test("where there is no OpenRC nothing is watched", () => {
  expect(
    watchStops(
      placesBelow(newFolder()),
      () => {},
      () => {},
    ),
  ).toBeUndefined();
});
