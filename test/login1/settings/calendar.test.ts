/** Calendar events, by facts that systemd-analyze 262 says of each; calendar-reference.test.ts asks it by chance. */
import { afterEach, describe, expect, test } from "bun:test";
import { readCalendar } from "../../../lib/login1/settings/calendar/calendar.ts";

const given = process.env.TZ;
afterEach(() => {
  if (given === undefined) delete process.env.TZ;
  else process.env.TZ = given;
});

const micro = (text: string) => BigInt(Date.parse(text)) * 1000n;

/** When an event comes next, and the time after that. */
function comes(text: string, zone: string, after: string): string[] {
  process.env.TZ = zone;
  const calendar = readCalendar(text);
  const moments: string[] = [];
  for (let at = calendar?.next(micro(after)); at !== undefined; at = calendar?.next(at)) {
    moments.push(new Date(Number(at / 1000n)).toISOString().replace(/\.\d+/, ""));
    if (moments.length === 2) break;
  }
  return moments;
}

test.each([
  ["daily", "*-*-* 00:00:00"],
  ["Sun 03:00", "Sun *-*-* 03:00:00"],
  ["sunday,Mon..wed 3:5", "Mon..Wed,Sun *-*-* 03:05:00"],
  ["*:0/15", "*-*-* *:00/15:00"],
  ["12-24 18:00 utc", "*-12-24 18:00:00 UTC"],
  ["2027-*-1..7", "2027-*-01..07 00:00:00"],
  ["*-02~1 Europe/Berlin", "*-02~01 00:00:00 Europe/Berlin"],
  ["Sat", "Sat *-*-* 00:00:00"],
  ["Quarterly", "*-01,04,07,10-01 00:00:00"],
  ["semi-annually", "*-01,07-01 00:00:00"],
  ["Bi-annually", "*-01,07-01 00:00:00"],
  ["anually", "*-01-01 00:00:00"],
  ["Mon-Wed", "Mon..Wed *-*-* 00:00:00"],
  ["Mon,Tue", "Mon,Tue *-*-* 00:00:00"],
  ["Sun,Mon,Sun,", "Mon,Sun *-*-* 00:00:00"],
  ["Sat,Thu,Mon..Wed,Fri,Sun", "*-*-* 00:00:00"],
  ["daily Europe/Berlin", "*-*-* 00:00:00 Europe/Berlin"],
  ["@1493187147", "2017-04-26 06:12:27 UTC"],
  ["Wed @1493187147 Europe/Berlin", "Wed 2017-04-26 06:12:27 UTC"],
  ["@ +0", "1970-01-01 00:00:00 UTC"],
  ["99-1-1", "1999-01-01 00:00:00"],
  ["00..03/2-05-05", "2000..2002/2-05-05 00:00:00"],
  ["*:*:1.5,3.1234567", "*-*-* *:*:01.500000,03.123457"],
  ["1:2:3.9999995", "*-*-* 01:02:04"],
  ["*:*:0/1", "*-*-* *:*:*"],
  ["*:*:5..7", "*-*-* *:*:05..07"],
  ["*:*:1.25..3.5/0.5", "*-*-* *:*:01.250000..03.250000/0.500000"],
  ["3,1,2,1:0", "*-*-* 01,02,03:00:00"],
  ["1..10/4:0", "*-*-* 01..09/4:00:00"],
  ["5..5:0", "*-*-* 05:00:00"],
  ["1..2/3:0", "*-*-* 01:00:00"],
  ["*-*~28", "*-*~28 00:00:00"],
  ["*~9,22", "*-*~09,22 00:00:00"],
  ["Mon  2026-1-1   1:00", "Mon 2026-01-01 01:00:00"],
  ["2026-1-1 ", "2026-01-01 00:00:00"],
  [`${Array(241).fill("1").join()}:0`, "*-*-* 01:00:00"],
])("%p is %p", (text, full) => {
  expect(readCalendar(text)?.text).toBe(full);
});

test.each([
  ...["", " ", "often", "Foo 03:00", "25:00", "*-13-01", "3", "Mon Tue 03:00", "1..", "*:0/0"],
  ...[
    "*-*-* 5..3:00",
    "*-*-* 1:2:3:4",
    "-- 03:00",
    "Mon..Tue..Wed",
    "Sun..Fri",
    "Mon..",
    "Wed-Mon",
  ],
  ...["*~29", "*~3/3", "6~02,28", "20/4:00", "*:40/20", "*-01-31/5", "2026-01~01-01", "*-*-32"],
  ...["daily ", "daily daily", "UTC", " UTC", "Mon\t03:00", "wee\u212aly", "*-*-*T03:00", "1.5:00"],
  ...[
    "03:00 Nowhere/Land",
    "03:00 europe/berlin",
    "03:00 ../../etc/localtime",
    "03:00 Europe//Berlin",
  ],
  ...["@", "@-1", "@18446744073709551616", "@7258118400", "@0 03:00", "1969-01-01", "2200-01-01"],
  ...["69..70-01-01", "*:60", "*:0/60", "*:*:60", "*:*:1.", "*:*:1..1.5", "4294967296:00"],
  `${Array(242).fill("1").join()}:0`,
])("%p cannot be read", (text) => {
  expect(readCalendar(text)).toBeUndefined();
});

// 2026-11-24 is a Tuesday.
const TUESDAY = "2026-11-24T13:00:00Z";
test.each([
  ["Sun 03:00", TUESDAY, ["2026-11-29T03:00:00Z", "2026-12-06T03:00:00Z"]],
  ["Tue 13:00", TUESDAY, ["2026-12-01T13:00:00Z", "2026-12-08T13:00:00Z"]],
  ["Tue 13:00", "2026-11-24T12:59:59Z", ["2026-11-24T13:00:00Z", "2026-12-01T13:00:00Z"]],
  ["*:0/15", "2026-12-31T23:50:00Z", ["2027-01-01T00:00:00Z", "2027-01-01T00:15:00Z"]],
  ["*-02-29", TUESDAY, ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]],
  ["Mon *-02-29", TUESDAY, ["2044-02-29T00:00:00Z", "2072-02-29T00:00:00Z"]],
  ["*-02~1", TUESDAY, ["2027-02-28T00:00:00Z", "2028-02-29T00:00:00Z"]],
  ["Mon 2017-05~07/1", "2017-01-01T00:00:00Z", ["2017-05-29T00:00:00Z"]],
  ["*-8~17/3", TUESDAY, ["2027-08-15T00:00:00Z", "2027-08-18T00:00:00Z"]],
  ["*-*~1..3", TUESDAY, ["2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"]],
  ["@1893456000", TUESDAY, ["2030-01-01T00:00:00Z"]],
  ["2199-12-31 23:59:59", TUESDAY, ["2199-12-31T23:59:59Z"]],
  ["2020-01-01", TUESDAY, []],
  ["*-02-30", TUESDAY, []],
  ["03:00 Asia/Tokyo", TUESDAY, ["2026-11-24T18:00:00Z", "2026-11-25T18:00:00Z"]],
  [
    "3:0 Pacific/Honolulu",
    "2026-11-24T13:00:01Z",
    ["2026-11-25T13:00:00Z", "2026-11-26T13:00:00Z"],
  ],
  ["12:00 Europe/Berlin", "2026-06-30T13:00:00Z", ["2026-07-01T10:00:00Z", "2026-07-02T10:00:00Z"]],
  ["*:*:* Europe/Berlin", TUESDAY, ["2026-11-24T13:00:01Z", "2026-11-24T13:00:02Z"]],
])("%p after %s comes at %p", (text, after, at) => {
  expect(comes(text, "UTC", after)).toEqual(at);
});

describe("where the clocks change", () => {
  const BERLIN = "Europe/Berlin";
  test.each([
    // A time that is skipped does not come that day, and one that comes twice is the first.
    ["02:30", BERLIN, "2026-03-28T12:00:00Z", ["2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]],
    ["*:30", BERLIN, "2026-03-29T00:40:00Z", ["2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"]],
    ["02:30", BERLIN, "2026-10-24T12:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]],
    ["*:0/30", BERLIN, "2026-10-25T00:40:00Z", ["2026-10-25T02:00:00Z", "2026-10-25T02:30:00Z"]],
    // An abbreviation holds while the clocks are so, and systemd looks no farther.
    [
      "02:30 CEST",
      BERLIN,
      "2026-06-01T00:00:00Z",
      ["2026-06-01T00:30:00Z", "2026-06-02T00:30:00Z"],
    ],
    ["02:30 CET", BERLIN, "2026-06-01T00:00:00Z", []],
    // In Ireland winter is what differs from standard time.
    [
      "hourly",
      "Europe/Dublin",
      "2026-03-29T00:00:00Z",
      ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"],
    ],
    ["*:19..20 CDT", "America/Havana", "2029-11-04T04:20:00Z", ["2029-11-04T06:19:00Z"]],
    [
      "*-11~24 *:*",
      "America/Havana",
      "2032-03-14T05:00:00Z",
      ["2032-11-07T05:00:00Z", "2032-11-07T05:01:00Z"],
    ],
    // Samoa had no 30th of December.
    [
      "00:00",
      "Pacific/Apia",
      "2011-12-29T20:00:00Z",
      ["2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"],
    ],
    [
      "3:0",
      "CET-1CEST,M3.5.0,M10.5.0/3",
      "2026-07-01T12:00:00Z",
      ["2026-07-02T01:00:00Z", "2026-07-03T01:00:00Z"],
    ],
  ])("%p in %s after %s comes at %p", (text, zone, after, at) => {
    expect(comes(text, zone, after)).toEqual(at);
  });

  test("this machine's zone is that of the moment in which is asked", () => {
    process.env.TZ = "UTC";
    const calendar = readCalendar("03:00");
    expect(calendar?.next(micro(TUESDAY))).toBe(micro("2026-11-25T03:00:00Z"));
    process.env.TZ = "Asia/Tokyo";
    expect(calendar?.next(micro(TUESDAY))).toBe(micro("2026-11-24T18:00:00Z"));
  });
});

test("fractions of seconds come in microseconds", () => {
  const calendar = readCalendar("*:*:0/0.7 UTC");
  const after = micro(TUESDAY);
  expect(calendar?.next(after)).toBe(after + 700_000n);
  expect(calendar?.next(after + 700_000n)).toBe(after + 1_400_000n);
});

test("the search ends where systemd's does, however far it would go", () => {
  // The next one is after the last year that there is.
  expect(comes("Mon *-02-29", "Europe/Berlin", "2196-03-01T00:00:00Z")).toEqual([]);
  expect(readCalendar("daily")?.next(253_402_214_399_000_001n)).toBeUndefined();
});
