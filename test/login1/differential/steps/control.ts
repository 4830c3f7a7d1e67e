/** Control of a session, its devices, and what only its controller may say. */
import { O_RDWR, open } from "../../../../lib/linux/index.ts";
import type { Run } from "../run.ts";
import { type Choosers, call, Own, someone, someSession, type Target } from "./calls.ts";

const TYPES = ["unspecified", "tty", "x11", "wayland", "mir", "web", "", "bogus"];
const DISPLAYS = ["", ":1", "there:0.0", "a b"];

/** A session and who asked for its control last, if anybody did; sometimes somebody else. */
function controlled(run: Run): [from: string, target: Target] {
  const target = someSession(run);
  const from = run.controllers.get(target.name);
  const isThere = from === "" || (from !== undefined && run.agents.has(from));
  return [isThere && !run.random.oneIn(8) ? from : someone(run), target];
}

/** /dev/null of seat0, /dev/zero of seat-two, /dev/full of none, a card, and what there is not. */
const device = ({ random }: Run) =>
  random.of([
    ...[
      [1, 3],
      [1, 3],
      [1, 3],
      [1, 3],
      [1, 5],
      [1, 5],
      [1, 7],
    ],
    ...[
      [226, 0],
      [226, 1],
      [1, 99],
      [0, 0],
      [4294967295, 3],
    ],
  ]);

export const controlSteps: Choosers = {
  takeControl: [
    14,
    (run) => {
      const target = someSession(run);
      // Of a session that is nowhere on a VT logind looks for that VT, which there is not.
      const { uid, vtnr = 0 } = run.sessions.get(target.name) ?? {};
      if (vtnr > 0 || run.entered.has(target.name)) return undefined;
      const own = [...run.agents].filter(([, its]) => its === uid).map(([name]) => name);
      const from = own.length === 0 || run.random.oneIn(6) ? someone(run) : run.random.of(own);
      run.controllers.set(target.name, from);
      return call(run, from, target, "TakeControl", "b", [run.random.oneIn(3)]);
    },
  ],
  releaseControl: [3, (run) => call(run, ...controlled(run), "ReleaseControl")],
  setType: [6, (run) => call(run, ...controlled(run), "SetType", "s", [run.random.of(TYPES)])],
  setDisplay: [
    5,
    (run) => call(run, ...controlled(run), "SetDisplay", "s", [run.random.of(DISPLAYS)]),
  ],
  setTty: [
    3,
    (run) => {
      const path = run.random.of(["/dev/null", "/dev/ptmx"]);
      const fd = new Own(path, () => open(path, O_RDWR));
      return call(run, ...controlled(run), "SetTTY", "h", [fd]);
    },
  ],
  takeDevice: [
    14,
    (run) => {
      const [from, target] = controlled(run);
      const number = device(run);
      // Of /dev/null nothing can be taken back: in the background it is not given here, and is by logind.
      const isPaused = !["active", undefined].includes(run.sessions.get(target.name)?.state);
      if (isPaused && number[0] === 1) return undefined;
      const name = run.newName("d");
      run.fds.add(name);
      const more = { fd: { at: 0, name } };
      return call(run, from, target, "TakeDevice", "uu", number, more);
    },
  ],
  releaseDevice: [6, (run) => call(run, ...controlled(run), "ReleaseDevice", "uu", device(run))],
  pauseComplete: [
    6,
    (run) => call(run, ...controlled(run), "PauseDeviceComplete", "uu", device(run)),
  ],
  setBrightness: [
    2,
    (run) => {
      const body = [
        run.random.of(["backlight", "leds", "mem", ""]),
        run.random.of(["x", "", "a/b"]),
        1,
      ];
      return call(run, someone(run), someSession(run), "SetBrightness", "ssu", body);
    },
  ],
};
