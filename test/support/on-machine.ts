/** For the tests that follow a machine in QEMU from its start to its end. */
import { join } from "node:path";
import { type BootedMedium, saveSerial, stageTable } from "../../testbed/boot/index.ts";

/** Takes a picture, whose file is named after the machine and this. */
export type TakePicture = (what: string) => Promise<void>;

/**
 * Runs a machine's life and ends it. The folder gets its serial log, the pictures that are taken, and
 * one of where it failed.
 */
export async function onMachine(
  machine: BootedMedium,
  folder: string,
  name: string,
  live: (picture: TakePicture) => Promise<void>,
): Promise<void> {
  const picture: TakePicture = (what) => machine.screendump(join(folder, `${name}-${what}.png`));
  try {
    await live(picture);
  } catch (error) {
    // Without one where QEMU has ended, which the error itself tells.
    await picture("failed").catch(() => {});
    throw error;
  } finally {
    console.log(stageTable(machine.stages));
    await saveSerial(machine, join(folder, `${name}-serial.log`));
    await machine.stop();
  }
}
