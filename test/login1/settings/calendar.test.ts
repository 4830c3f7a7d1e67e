import { expect, test } from "bun:test";
import { readCalendar } from "../../../lib/login1/settings/calendar.ts";

const micro = (text: string) => BigInt(Date.parse(text)) * 1000n;
const next = (text: string, after: string) => {
  const at = readCalendar(text)?.next(micro(after));
  return at === undefined ? undefined : new Date(Number(at / 1000n)).toISOString();
};

test.each([
  ["daily", "*-*-* 00:00:00"],
  ["Sun 03:00", "Sun *-*-* 03:00:00"],
  ["sunday,Mon..wed 3:5", "Sun,Mon..Wed *-*-* 03:05:00"],
  ["*:0/15", "*-*-* *:00/15:00"],
  ["12-24 18:00 UTC", "*-12-24 18:00:00 UTC"],
  ["2027-*-1..7", "2027-*-01..07 00:00:00"],
  ["*-02~1 Europe/Berlin", "*-02~01 00:00:00 Europe/Berlin"],
  ["Sat", "Sat *-*-* 00:00:00"],
  ["Quarterly", "*-01,04,07,10-01 00:00:00"],
])("%p is %p", (text, full) => {
  expect(readCalendar(text)?.text).toBe(full);
});

test.each([
  ...["", "often", "Foo 03:00", "25:00", "*-13-01", "3", "Mon Tue 03:00", "03:00 Nowhere/Land"],
  ...["1..", "*-*-* 5..3:00", "*:0/0", "*-*-* 1:2:3:4", "-- 03:00", "Mon..Tue..Wed"],
])("%p cannot be read", (text) => {
  expect(readCalendar(text)).toBeUndefined();
});

test.each([
  // 2026-11-24 is a Tuesday.
  ["Sun 03:00 UTC", "2026-11-24T13:00:00Z", "2026-11-29T03:00:00.000Z"],
  ["Tue 13:00 UTC", "2026-11-24T13:00:00Z", "2026-12-01T13:00:00.000Z"],
  ["Tue 13:00 UTC", "2026-11-24T12:59:59Z", "2026-11-24T13:00:00.000Z"],
  ["*:0/15 UTC", "2026-12-31T23:50:00Z", "2027-01-01T00:00:00.000Z"],
  ["*-02-29 UTC", "2026-11-24T13:00:00Z", "2028-02-29T00:00:00.000Z"],
  ["*-02~1 UTC", "2026-11-24T13:00:00Z", "2027-02-28T00:00:00.000Z"],
  ["Fri..Mon 4:00 UTC", "2026-11-24T13:00:00Z", "2026-11-27T04:00:00.000Z"],
  ["03:00 Asia/Tokyo", "2026-11-24T13:00:00Z", "2026-11-24T18:00:00.000Z"],
  ["03:00 Pacific/Honolulu", "2026-11-24T13:00:01Z", "2026-11-25T13:00:00.000Z"],
  ["12:00 Europe/Berlin", "2026-06-30T13:00:00Z", "2026-07-01T10:00:00.000Z"],
  ["2020-01-01 UTC", "2026-11-24T13:00:00Z", undefined],
  ["*-02-30 UTC", "2026-11-24T13:00:00Z", undefined],
])("%p after %s is %s", (text, after, at) => {
  expect(next(text, after)).toBe(at);
});

test("without a zone it is the system's own", () => {
  const at = next("Sun 03:00", "2026-11-24T13:00:00Z") ?? "";
  const local = new Date(at);
  expect([local.getDay(), local.getHours(), local.getMinutes()]).toEqual([0, 3, 0]);
});
