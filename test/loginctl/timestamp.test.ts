/** Moments and spans on the command line, beside systemd-analyze, which reads them by the same rules. */

import { describe, expect, test } from "bun:test";
import { parseTimeSpan } from "../../lib/cli/index.ts";
import { parseTimestamp } from "../../lib/loginctl/timestamp.ts";

/** What systemd-analyze makes of a moment, in microseconds; undefined if it refuses. */
function theirMoment(text: string): bigint | undefined {
  const done = Bun.spawnSync(["systemd-analyze", "timestamp", "--", text], {
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  const [, whole, fraction = ""] =
    /UNIX seconds: @(\d+)(?:\.(\d+))?/.exec(done.stdout.toString()) ?? [];
  if (whole === undefined) {
    expect({ text, code: done.exitCode }).toEqual({ text, code: 1 });
    return undefined;
  }
  return BigInt(whole) * 1_000_000n + BigInt(fraction.padEnd(6, "0"));
}

describe("a moment", () => {
  test.each([
    ...["2027-01-02 03:04:05", "2027-01-02 03:04", "2027-01-02", "27-01-02", "27-1-2 3:4"],
    ...["2027-01-02T03:04:05", "2027-01-02T03:04", "2027-01-02T03:04:05Z", "2027-01-02T03:04Z"],
    ...["2027-01-02T03:04:05.25+02:00", "2027-01-02T03:04:05-0330", "2027-01-02 03:04:05.123456"],
    ...[
      "2027-01-02 03:04:05.1234567",
      "Sat 2027-01-02",
      "saturday 2027-01-02 03:04",
      "Sun 2027-01-02",
    ],
    ...["2027-01-02 03:04 UTC", "2027-01-02 03:04 +05", "2027-01-02 03:04 -0330"],
    ...[
      "2027-07-02 03:04 Europe/Berlin",
      "2027-01-02 03:04 America/New_York",
      "2027-01-02 Asia/Tokyo",
    ],
    ...[
      "2027-01-02 03:04 Nowhere/Land",
      "2027-01-02 03:04 +99",
      "2027-02-29",
      "2028-02-29",
      "2027-13-01",
    ],
    ...[
      "2027-00-01",
      "2027-01-00",
      "2027-01-32",
      "2027-04-31",
      "2027-01-02 24:00",
      "2027-01-02 23:60",
    ],
    ...[
      "2027-01-02 23:59:60",
      "2027-01-02 23:59:61",
      "1969-12-31",
      "1960-01-01",
      "9999-12-30",
      "9999-12-31",
    ],
    ...[
      "10000-01-01",
      "@1735689600",
      "@1735689600.5",
      "@0",
      "@",
      "@x",
      "@1min",
      "",
      " ",
      "x",
      "never",
    ],
    ...[
      "2027",
      "2027-01",
      "12",
      "12:",
      ":12",
      "2027-01-02 ",
      "2027-01-02 x",
      "Sat",
      "Satur 2027-01-02",
    ],
    ...["2027-01-02 03:04:05 CEST", "+", "+x", "5min", "in 5min", "2027/01/02", "02.01.2027"],
  ])("%p is what it is to systemd", (text) => {
    expect({ text, moment: parseTimestamp(text) }).toEqual({ text, moment: theirMoment(text) });
  });

  test.each([
    ...[
      "now",
      "today",
      "yesterday",
      "tomorrow",
      "+5min",
      "-5min",
      "5min ago",
      "5min left",
      "++5min",
    ],
    ...[
      "+1h 30min",
      "23:59",
      "0:00",
      "0:00:01.5",
      "tomorrow UTC",
      "today Asia/Tokyo",
      "+1y",
      "-100y",
    ],
    ...[
      "100 years ago",
      "- 5min",
      "+ 5min",
      "5min  ago",
      "23:59 Europe/Berlin",
      "now UTC",
      "+9999y",
    ],
  ])("%p counts from now as it does to systemd", (text) => {
    // Both read the clock, one after the other, and midnight may be between: then once more.
    for (;;) {
      const before = parseTimestamp(text);
      const theirs = theirMoment(text);
      const after = parseTimestamp(text);
      if (before === undefined || theirs === undefined || after === undefined) {
        expect({ text, before, after }).toEqual({ text, before: theirs, after: theirs });
        return;
      }
      if (theirs < before || theirs > after) {
        expect(new Date().getHours() * 60 + new Date().getMinutes()).toBe(0);
        continue;
      }
      return;
    }
  });

  test("is in the local time zone, summer time and winter time", () => {
    const module = `${import.meta.dir}/../../lib/loginctl/timestamp.ts`;
    const moments = [
      ...["2027-07-02 03:04", "2027-01-02 03:04", "2027-07-02 03:04 UTC", "2027-07-02 03:04 CEST"],
      ...["2027-01-02 CET", "2027-10-31 01:59", "2027-10-31 03:00", "2027-03-28 01:59"],
      ...["2027-03-28 03:00", "2027-07-02 03:04 Asia/Tokyo"],
    ];
    const code = `const { parseTimestamp } = await import(${JSON.stringify(module)});
      for (const text of ${JSON.stringify(moments)}) console.log(text, String(parseTimestamp(text)));`;
    const env = { ...process.env, TZ: "Europe/Berlin", LC_ALL: "C.UTF-8" };
    const ours = Bun.spawnSync([process.execPath, "-e", code], { env }).stdout.toString();
    const theirs = moments.map((text) => {
      const done = Bun.spawnSync(["systemd-analyze", "timestamp", text], { env });
      const seconds = /UNIX seconds: @(\d+)/.exec(done.stdout.toString())?.[1];
      return `${text} ${seconds}000000\n`;
    });
    expect(ours).toBe(theirs.join(""));
  });
});

test("a span is what it is to systemd", () => {
  for (const text of [
    ...[
      "5",
      "5s",
      "1h 30min",
      "1.5s",
      "0.5us",
      "2 weeks",
      "1y 2months 3d",
      "1M1m",
      "5µs",
      "infinity",
    ],
    ...[
      " 5 s ",
      "1min30",
      "0",
      "5 5",
      "1.25min",
      "",
      "x",
      "-5",
      "+5",
      "5x",
      "1..5s",
      "5.s",
      "infinity s",
    ],
    ...["99999999999y", "1h -1min", "1e3", ".5s", "1.5.5s", "1.5 .5s", " infinity", "infinity "],
    ...["", " ", "5s  6", "5s,", "9223372036854775808us", "0.999999999min"],
  ]) {
    const done = Bun.spawnSync(["systemd-analyze", "timespan", "--", text], {
      env: { ...process.env, LC_ALL: "C.UTF-8" },
    });
    const written = /[uμ]s: (\d+)/.exec(done.stdout.toString())?.[1];
    const theirs = written === undefined ? undefined : BigInt(written);
    expect({ text, span: parseTimeSpan(text) }).toEqual({ text, span: theirs });
  }
});
