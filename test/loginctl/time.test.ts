/** Times beside systemd-analyze, which writes them by the same rules. */

import { expect, test } from "bun:test";
import { NEVER } from "../../lib/cli/index.ts";
import { formatRelative, formatTimespan, formatTimestamp } from "../../lib/loginctl/time.ts";

/** systemd-analyze's lines by their labels, for each of the times it was given. */
function analyze(...words: string[]): Record<string, string>[] {
  const done = Bun.spawnSync(["systemd-analyze", ...words], {
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  expect(done.exitCode).toBe(0);
  return done.stdout
    .toString()
    .trim()
    .split("\n\n")
    .map((block) =>
      Object.fromEntries(
        [...block.matchAll(/^ *([^:]+): (.*)$/gm)].map(([, label, text]) => [label, text]),
      ),
    );
}

test("spans have the same words", () => {
  const spans = [
    ...["1", "999", "1000", "1500", "1000000", "1500000", "59999999", "60000000", "61500000"],
    ...["5400000000", "86400000000", "90061000001", "604800000000", "2629800000000"],
    ...["31557600000000", "99999999999999", "123456789012345"],
  ];
  const answers = analyze("timespan", ...spans.map((span) => `${span}us`));
  for (const [at, span] of spans.entries()) {
    expect({ span, text: formatTimespan(BigInt(span)) }).toEqual({
      span,
      text: answers[at]?.Human ?? "",
    });
  }
  expect([formatTimespan(0n), formatTimespan(NEVER)]).toEqual(["0", "infinity"]);
});

test("moments are in the local time, with its zone's name", () => {
  for (const seconds of [1n, 951_782_400n, 1_700_000_000n, 1_721_000_000n, 4_102_444_799n]) {
    const [answer = {}] = analyze("timestamp", `@${seconds}`);
    const local = Object.values(answer)[1];
    expect(formatTimestamp(seconds * 1_000_000n)).toBe(local ?? "");
  }
  const zoned = Bun.spawnSync(
    [
      process.execPath,
      "-e",
      `const { formatTimestamp } = await import(${JSON.stringify(`${import.meta.dir}/../../lib/loginctl/time.ts`)});
       console.log(formatTimestamp(1721000000000000n), formatTimestamp(1700000000000000n));`,
    ],
    { env: { ...process.env, TZ: "Europe/Berlin" } },
  );
  expect(zoned.stdout.toString()).toBe(
    "Mon 2024-07-15 01:33:20 CEST Tue 2023-11-14 23:13:20 CET\n",
  );
  expect([formatTimestamp(0n), formatTimestamp(NEVER)]).toEqual(["", ""]);
});

test("distances have the same two units, before and after", () => {
  // Far enough from where the words change that the time the command takes does not matter.
  const minutes = [8, 70, 200, 420, 1600, 3000, 8000, 12_000, 30_000, 50_000, 600_000, 1_500_000];
  for (const minute of minutes) {
    for (const sign of [-1n, 1n]) {
      const now = BigInt(Date.now()) * 1000n;
      const at = now + sign * (BigInt(minute) * 60n + 30n) * 1_000_000n;
      const [answer = {}] = analyze("timestamp", `@${at / 1_000_000n}`);
      expect({ minute, text: formatRelative(at, now) }).toEqual({
        minute,
        text: answer["From now"] ?? "",
      });
    }
  }
  expect(formatRelative(5n, 5n)).toBe("now");
  expect(formatRelative(5n, 6n)).toBe("1us ago");
  expect(formatRelative(5n, 2_000_005n)).toBe("2s ago");
  expect(formatRelative(65_000_000n, 0n)).toBe("1min 5s left");
});
