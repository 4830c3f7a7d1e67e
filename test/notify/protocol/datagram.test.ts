import { describe, expect, test } from "bun:test";
import { RateLimiter } from "../../../lib/cli/index.ts";
import { MOST_BYTES, parseDatagram } from "../../../lib/notify/protocol/datagram.ts";

const parse = (text: string, descriptors = 0) => parseDatagram(Buffer.from(text), descriptors);
const why = (text: string, descriptors = 0) => {
  const datagram = parse(text, descriptors);
  return datagram.kind === "bad" ? datagram.why : datagram.kind;
};

describe("parseDatagram", () => {
  test("assignments are newline separated, values are free", () => {
    const expected = {
      kind: "assignments" as const,
      assignments: [
        { name: "READY", value: "1" },
        { name: "STATUS", value: "a=b, ö" },
        { name: "X_EMPTY", value: "" },
      ],
    };
    expect(parse("READY=1\nSTATUS=a=b, ö\nX_EMPTY=")).toEqual(expected);
    expect(parse("\nREADY=1\n\nSTATUS=a=b, ö\nX_EMPTY=\n")).toEqual(expected);
    expect(parse("READY=1\nSTATUS=a=b, ö\nX_EMPTY=\0")).toEqual(expected);
  });

  test("4096 bytes are allowed and no more", () => {
    const full = `STATUS=${"x".repeat(MOST_BYTES - 7)}`;
    expect(parse(full).kind).toBe("assignments");
    expect(why(`${full}x`)).toBe("is longer than 4096 bytes");
    expect(parseDatagram(Buffer.from("READY=1"), 0, true)).toMatchObject({ kind: "bad" });
  });

  test("garbage is named", () => {
    expect(why("")).toBe("is empty");
    expect(why("\n\n")).toBe("says nothing");
    expect(why("\0")).toBe("says nothing");
    expect(why("READY=1\0\nSTATUS=x")).toBe("has a NUL byte in it");
    expect(why("READY=1\0\0")).toBe("has a NUL byte in it");
    expect(why("READY")).toBe("has nothing in it but a line that is not NAME=VALUE");
    expect(why("=1")).toBe("has nothing in it but a line that is not NAME=VALUE");
    const notText = parseDatagram(Uint8Array.of(0x41, 0x3d, 0xff), 0);
    expect(notText).toEqual({
      kind: "bad",
      why: "has nothing in it but A, which is not UTF-8",
    });
  });

  test("what cannot be used does not cost a service the rest", () => {
    const ready = { kind: "assignments", assignments: [{ name: "READY", value: "1" }] } as const;
    const other = "a line that is not NAME=VALUE";
    expect(parse("READY=1\n\x1b[2J=x")).toEqual({
      ...ready,
      assignments: [...ready.assignments],
      ignored: other,
    });
    expect(parse("two\nlines\nREADY=1")).toMatchObject({
      ...ready,
      assignments: [...ready.assignments],
      ignored: other,
    });
    const latin = Buffer.from("READY=1\nSTATUS=caf\xe9", "latin1");
    expect(parseDatagram(latin, 0)).toMatchObject({
      assignments: [...ready.assignments],
      ignored: "STATUS, which is not UTF-8",
    });
  });

  test("a barrier is alone and has one descriptor", () => {
    expect(parse("BARRIER=1", 1)).toEqual({ kind: "barrier" });
    expect(parse("BARRIER=1\n", 1)).toEqual({ kind: "barrier" });
    expect(why("BARRIER=1", 0)).toBe("has BARRIER=1 with 0 descriptors instead of one");
    expect(why("BARRIER=1", 2)).toBe("has BARRIER=1 with 2 descriptors instead of one");
    expect(why("READY=1\nBARRIER=1", 1)).toContain("must be alone");
  });
});

describe("RateLimiter", () => {
  const limit = { messages: 2, window: 1000, senders: 3 };
  const limiter = () => {
    const reports: string[] = [];
    return { reports, it: new RateLimiter(limit, (who, count) => reports.push(`${who} ${count}`)) };
  };

  test("each sender has its own window", () => {
    const { reports, it } = limiter();
    expect([0, 1, 2, 3].map((now) => it.allow("a", now))).toEqual([true, true, false, false]);
    expect(it.allow("b", 4)).toBe(true);
    expect(reports).toEqual([]);
    expect(it.allow("a", 1000)).toBe(true);
    expect(reports).toEqual(["a 2"]);
    it.flush();
  });

  test("a sender that falls silent is reported when its window ends", async () => {
    const reported = Promise.withResolvers<string>();
    const it = new RateLimiter({ ...limit, window: 50 }, (who, count) =>
      reported.resolve(`${who} ${count}`),
    );
    for (let message = 0; message < 5; message++) it.allow("a");
    expect(await reported.promise).toBe("a 3");
  });

  test("no more senders are remembered than allowed, and none is lost unreported", () => {
    const { reports, it } = limiter();
    for (let message = 0; message < 3; message++) it.allow("a", 0);
    for (const other of ["b", "c", "d"]) expect(it.allow(other, 1)).toBe(true);
    expect(reports).toEqual(["a 1"]);
    it.flush();
    expect(reports).toEqual(["a 1"]);
  });
});
