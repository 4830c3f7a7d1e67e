import { afterEach, expect, spyOn, test } from "bun:test";
import { LONGEST_TIMEOUT, setLongTimeout } from "../../../lib/linux/index.ts";
import { quietFor } from "../../support/until.ts";

const spies: { mockRestore(): void }[] = [];
afterEach(() => {
  for (const spy of spies.splice(0)) spy.mockRestore();
});

const DAY = 86_400_000_000n;

test.each([30n * DAY, 2n ** 31n * 1000n, 2n ** 64n - 1n])(
  "a span of %p us does not end at once",
  async (span) => {
    let fired = false;
    const end = setLongTimeout(span, () => {
      fired = true;
    });
    await quietFor(50, "it ends");
    expect(fired).toBe(false);
    end();
  },
);

test.each<[bigint, number[]]>([
  [0n, [0]],
  [1n, [1]],
  [1_000_001n, [1001]],
  [BigInt(LONGEST_TIMEOUT) * 1000n, [LONGEST_TIMEOUT]],
  [BigInt(LONGEST_TIMEOUT) * 1000n + 1n, [LONGEST_TIMEOUT, 1]],
  [60n * DAY, [LONGEST_TIMEOUT, LONGEST_TIMEOUT, 889_032_706]],
])("a span of %p us is waited for in steps that a timer can take", (span, steps) => {
  const taken: number[] = [];
  let next = () => {};
  const set = spyOn(globalThis, "setTimeout").mockImplementation(((
    act: () => void,
    delay: number,
  ) => {
    taken.push(delay);
    next = act;
    return 0;
  }) as unknown as typeof setTimeout);
  spies.push(set);
  let fired = 0;
  setLongTimeout(span, () => fired++);
  while (fired === 0) next();
  expect(taken).toEqual(steps);
});

test("what is taken back does not come", async () => {
  let fired = false;
  setLongTimeout(20_000n, () => {
    fired = true;
  })();
  await quietFor(60, "it comes");
  expect(fired).toBe(false);
});
