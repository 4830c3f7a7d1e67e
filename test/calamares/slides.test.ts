/** The slides, in Calamares with Qt 5 and by themselves with Qt 6. The pictures are in build/calamares. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PALETTE } from "../../scripts/artwork/palette.ts";
import { ensureHostPackages } from "../../scripts/host.ts";
import { CONFIG, Installer } from "./installer.ts";
import { type Picture, Screen } from "./screen.ts";

const TIMEOUT = 300_000;
const SHOW = join(CONFIG, "branding/lainos/show.qml");

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
}, TIMEOUT);

/** settings.conf of an installer that only waits. */
const WORKING = `modules-search: [ local ]
instances:
  - { id: pause, module: shellprocess, config: pause.conf }
sequence:
  - exec: [ shellprocess@pause ]
branding: lainos
prompt-install: false
dont-chroot: false
`;

/** A window with the slides in it, which Calamares would start by the same call. */
const WINDOW = `import QtQuick 2.15
import QtQuick.Window 2.15
Window {
    visible: true
    width: 834
    height: 480
    Loader {
        anchors.fill: parent
        source: "file://${SHOW}"
        onLoaded: { item.pause = 4; item.onActivate(); }
    }
}
`;

/** Which of the four dots at the bottom is in the accent's colour, as one of them is; else undefined. */
function slideOf(picture: Picture): number | undefined {
  for (let y = Math.floor(picture.height / 2); y < picture.height; y++) {
    // The colours that begin in this row, of the two that the dots have.
    const row: string[] = [];
    let before = "";
    for (let x = Math.floor(picture.width / 3); x < picture.width - 100; x++) {
      const colour = picture.at(x, y);
      const dot = colour === PALETTE.accent || colour === PALETTE.raised;
      if (dot && colour !== before) row.push(colour);
      before = colour;
    }
    const quiet = row.filter((colour) => colour === PALETTE.raised);
    if (row.length === 4 && quiet.length === 3) return row.indexOf(PALETTE.accent);
  }
  return undefined;
}

describe("the four slides follow each other", () => {
  test(
    "in Calamares while it works, with Qt 5",
    async () => {
      const show = await readFile(SHOW, "utf8");
      const started = await Installer.start({
        size: "1024x768",
        files: {
          "etc/calamares/settings.conf": WORKING,
          "etc/calamares/modules/pause.conf": "dontChroot: true\ntimeout: 600\nscript: sleep 600\n",
          "etc/calamares/branding/lainos/show.qml": show.replace("pause: 15", "pause: 4"),
        },
      });
      ends.push(() => started.stop());
      for (const slide of [0, 1, 2, 3]) {
        const look = async () => slideOf(await started.screen.picture()) === slide;
        await started.until(`slide ${slide}`, look);
        await started.keep(`slide-${slide + 1}`);
      }
      expect(await started.faults()).toEqual([]);
    },
    TIMEOUT,
  );

  test(
    "with Qt 6, which says nothing of them",
    async () => {
      await ensureHostPackages([
        "Xvfb",
        "qml of Qt 6",
        "QtQml of Qt 6",
        "QtQml.WorkerScript of Qt 6",
      ]);
      await ensureHostPackages(["QtQuick of Qt 6", "QtQuick.Window of Qt 6"]);
      const folder = await mkdtemp(join(tmpdir(), "p7-slides-"));
      ends.push(() => rm(folder, { recursive: true }));
      await writeFile(join(folder, "window.qml"), WINDOW);
      const screen = await Screen.start("834x480");
      ends.push(() => screen.stop());
      const viewer = Bun.spawn(
        ["setpriv", "--pdeathsig=KILL", "/usr/lib/qt6/bin/qml", join(folder, "window.qml")],
        {
          env: {
            HOME: folder,
            LC_ALL: "C.UTF-8",
            XDG_RUNTIME_DIR: folder,
            DISPLAY: screen.display,
            QT_QUICK_BACKEND: "software",
          },
          stdio: ["ignore", "ignore", "pipe"],
        },
      );
      ends.push(async () => {
        viewer.kill();
        await viewer.exited;
      });
      const said = new Response(viewer.stderr).text();
      const seen = new Set<number>();
      for (const deadline = Date.now() + 60_000; seen.size < 4 && Date.now() < deadline; ) {
        const slide = slideOf(await screen.picture());
        if (slide !== undefined) seen.add(slide);
        await Bun.sleep(200);
      }
      viewer.kill();
      expect([...seen]).toEqual([0, 1, 2, 3]);
      expect(await said).toBe("");
    },
    TIMEOUT,
  );
});
