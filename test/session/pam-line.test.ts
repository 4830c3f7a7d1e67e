import { expect, test } from "bun:test";
import { lineArguments } from "../../lib/session/pam-line.ts";

/** The arguments, and what is said of them. */
function read(...words: string[]) {
  const said: string[] = [];
  const line = lineArguments(words, (message) => said.push(message));
  return { line, said };
}

test("class, type and desktop are read, and the last of a name counts", () => {
  expect(read("class=user", "class=greeter", "type=wayland", "desktop=a=b")).toEqual({
    line: { class: "greeter", type: "wayland", desktop: "a=b" },
    said: [],
  });
  expect(read("class=none")).toEqual({ line: { class: "none" }, said: [] });
});

test("what pam_systemd knows and is not here does nothing, and is right", () => {
  const words = ["debug", "debug=no", "area=x", "inhibit=sleep", "inhibit-why=a"];
  const more = [
    "default-capability-bounding-set=~cap_sys_admin",
    "default-capability-ambient-set=",
  ];
  expect(read(...words, ...more)).toEqual({ line: {}, said: [] });
});

test.each([
  ["clas=greeter", "clas=greeter in a PAM file is left out: it is no argument of pam_systemd.so"],
  ["greeter", "greeter in a PAM file is left out: it is no argument of pam_systemd.so"],
  ["class=royalty", /^class=royalty in a PAM file is left out: class= is one of user, .*, none$/],
  ["type=", /^type= in a PAM file is left out: type= is one of unspecified, tty, /],
])("%s is named and left out", (word, message) => {
  expect(read(word, "desktop=ly")).toEqual({
    line: { desktop: "ly" },
    said: [typeof message === "string" ? message : expect.stringMatching(message)],
  });
});
