import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initialLevels, parseControls, storedCards } from "../../lib/audio/mixer.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean();
});

function newFolder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-mixer-"));
  cleanups.push(() => rmSync(path, { recursive: true }));
  return path;
}

/** As `amixer scontents` writes a laptop's codec. */
const LAPTOP = `Simple mixer control 'Master',0
  Capabilities: pvolume pvolume-joined pswitch pswitch-joined
  Playback channels: Mono
  Limits: Playback 0 - 87
  Mono: Playback 0 [0%] [-65.25dB] [off]
Simple mixer control 'Headphone',0
  Capabilities: pvolume pswitch
  Playback channels: Front Left - Front Right
  Limits: Playback 0 - 87
  Mono:
  Front Left: Playback 0 [0%] [-65.25dB] [off]
  Front Right: Playback 0 [0%] [-65.25dB] [off]
Simple mixer control 'Headphone Mic Boost',0
  Capabilities: volume
  Playback channels: Front Left - Front Right
  Capture channels: Front Left - Front Right
  Limits: 0 - 3
  Front Left: 3 [100%] [30.00dB]
  Front Right: 3 [100%] [30.00dB]
Simple mixer control 'Speaker',0
  Capabilities: pvolume pswitch
  Limits: Playback 0 - 31
  Front Left: Playback 0 [0%] [off]
Simple mixer control 'IEC958',0
  Capabilities: pswitch pswitch-joined
  Mono: Playback [off]
Simple mixer control 'Mic',0
  Capabilities: pvolume pswitch cswitch
  Limits: Playback 0 - 31
  Front Left: Playback 31 [100%] [12.00dB] [on] Capture [on]
Simple mixer control 'Capture',0
  Capabilities: cvolume cswitch
  Limits: Capture 0 - 63
  Front Left: Capture 0 [0%] [-17.25dB] [on]
Simple mixer control 'Auto-Mute Mode',0
  Capabilities: enum
  Items: 'Disabled' 'Enabled'
  Item0: 'Enabled'
`;

/** A USB headset, whose microphone comes back in the ears. */
const HEADSET = `Simple mixer control 'Headphone',0
  Capabilities: pvolume pswitch pswitch-joined
  Limits: Playback 0 - 30
  Front Left: Playback 0 [0%] [-18.00dB] [off]
Simple mixer control 'Mic',0
  Capabilities: pvolume pvolume-joined cvolume
  Limits: Playback 0 - 10
  Mono: Playback 5 [50%] [0.00dB] Capture 2 [20%]
`;

test("outputs are turned on and attenuated once; microphones are kept out of them, nothing is boosted", () => {
  expect(initialLevels(parseControls(LAPTOP))).toEqual([
    ["'Master',0", "playback", "70%", "unmute"],
    ["'Headphone',0", "playback", "0dB", "unmute"],
    ["'Headphone Mic Boost',0", "0%"],
    // It does not say where its 0 dB are.
    ["'Speaker',0", "playback", "70%", "unmute"],
    ["'IEC958',0", "unmute"],
    ["'Mic',0", "playback", "mute"],
  ]);
  expect(initialLevels(parseControls(HEADSET))).toEqual([
    ["'Headphone',0", "playback", "70%", "unmute"],
    ["'Mic',0", "playback", "0%"],
  ]);
  expect(parseControls("amixer: no such card\n")).toEqual([]);
});

test("what alsactl has stored is read from its file", () => {
  const file = join(newFolder(), "asound.state");
  expect(storedCards(file)).toEqual(new Set());
  writeFileSync(
    file,
    "state.PCH {\n\tcontrol.1 {\n\t\tname 'state.Fake {'\n\t}\n}\nstate.'U 2' {\n}\n",
  );
  expect(storedCards(file)).toEqual(new Set(["PCH", "U 2"]));
});

test("a fresh card is set by amixer, and not above 0 dB; a stored one is only restored", async () => {
  const folder = newFolder();
  mkdirSync(join(folder, "proc"));
  writeFileSync(
    join(folder, "proc/cards"),
    " 0 [Fresh          ]: USB-Audio - F\n 1 [Stored         ]: USB-Audio - S\n",
  );
  writeFileSync(join(folder, "state"), "state.Stored {\n}\n");
  writeFileSync(join(folder, "contents"), HEADSET);
  writeFileSync(join(folder, "alsactl"), "#!/bin/sh\nexit 0\n", { mode: 0o755 });
  // No machine that tests has a card: amixer is a script that notes what it is told.
  writeFileSync(
    join(folder, "amixer"),
    `#!/bin/sh
echo "$@" >> ${folder}/calls
case $* in
  *scontents) exec cat ${folder}/contents ;;
  *Headphone*70%*) echo "  Front Left: Playback 21 [70%] [3.00dB] [on]" ;;
  *Mic*) echo 'amixer: Invalid command!' >&2; exit 1 ;;
esac
`,
    { mode: 0o755 },
  );
  const program = `
    const { restoreCards } = await import("${join(import.meta.dir, "../../lib/audio/index.ts")}");
    const say = (level) => (line) => console.log(level + ": " + line);
    const log = { info: say("info"), warning: say("warning"), error: say("error") };
    const good = await restoreCards({ log, procAsound: "${folder}/proc", stateFile: "${folder}/state" });
    process.exit(good ? 0 : 1);`;
  const child = Bun.spawn([process.execPath, "-e", program], {
    env: { PATH: `${folder}:${process.env.PATH}` },
    stdout: "pipe",
  });
  expect(await child.stdout.text()).toBe(
    `info: card 0 (Fresh): nothing was stored for it, so it begins at moderate levels
warning: card 0: amixer sset 'Mic',0 playback 0%: amixer: Invalid command!
info: card 1 (Stored): restored
`,
  );
  expect(await child.exited).toBe(0);
  expect(readFileSync(join(folder, "calls"), "utf8")).toBe(`-c 0 scontents
-c 0 sset 'Headphone',0 playback 70% unmute
-c 0 sset 'Headphone',0 playback 0dB
-c 0 sset 'Mic',0 playback 0%
`);
});
