/** What can happen, chosen by chance. */
import type { Run, Step } from "../run.ts";
import type { Choosers } from "./calls.ts";
import { controlSteps } from "./control.ts";
import { managerSteps } from "./manager.ts";
import { propertySteps } from "./properties.ts";
import { sessionSteps } from "./sessions.ts";

const CHOOSERS: Choosers = { ...sessionSteps, ...controlSteps, ...managerSteps, ...propertySteps };
const WEIGHTS = Object.fromEntries(
  Object.entries(CHOOSERS).map(([kind, [weight]]) => [kind, weight]),
);

/** A step that can be done now, and its kind. */
export function chooseStep(run: Run): [kind: string, step: Step] {
  for (;;) {
    const kind = run.random.weighted(WEIGHTS);
    const step = CHOOSERS[kind]?.[1](run);
    if (step) return [kind, step];
  }
}
