import { expect, test } from "bun:test";
import { userById, userByName } from "../../../lib/linux/index.ts";

test("users come from NSS", () => {
  expect(userById(0)).toEqual({
    name: "root",
    uid: 0,
    gid: 0,
    home: "/root",
    shell: "/bin/bash",
  });
  expect(userByName("root")?.uid).toBe(0);
  expect(userByName("no-such-user")).toBeUndefined();
  expect(userById(4000000000)).toBeUndefined();
});
