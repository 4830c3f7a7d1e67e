import { describe, expect, test } from "bun:test";
import { parseSessions, waitFor } from "../../testbed/live/ready.ts";

test("sessions with and without a seat", () => {
  expect(
    parseSessions(
      "      6 1000 liveuser seat0 41 user tty1 no -\n     c1    0 root     -     42 user -    no -\n\n",
    ),
  ).toEqual([
    { id: "6", uid: 1000, user: "liveuser", seat: "seat0" },
    { id: "c1", uid: 0, user: "root", seat: "" },
  ]);
});

describe("waitFor", () => {
  test("gives what the look finds, 0 and empty text too", async () => {
    expect(await waitFor(async () => 0, "zero", 100)).toBe(0);
    expect(await waitFor(async () => "", "empty", 100)).toBe("");
  });

  test("names what did not come", async () => {
    await expect(waitFor(async () => undefined, "the thing", 60)).rejects.toThrow(
      "the thing: not within 0.06 seconds",
    );
  });

  test("ends with the signal", async () => {
    const signal = AbortSignal.timeout(20);
    await expect(waitFor(async () => false, "never", 5_000, signal)).rejects.toThrow();
  });
});
