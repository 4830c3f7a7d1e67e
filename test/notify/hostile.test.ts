/** File descriptors whose close(2) waits for their sender: nobody else waits. */
import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { cleanUp, descriptorsOf, later, newFolder, python, start } from "./world.ts";

afterEach(cleanUp);

const PROGRAM = join(import.meta.dir, "../linux/hostile.py");
/** What each waits for, were it waited for, is ten minutes. */
const BARRIER = `r, w = os.pipe()
send(b"BARRIER=1", [w])
os.close(w)
print(len(select.select([r], [], [], 15)[0]))`;

for (const message of ["STATUS=x", "FDSTORE=1", "BARRIER=1", "no assignment"]) {
  test(`with ${message}: others' barriers are answered, and all is given back`, async () => {
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket);
    const before = descriptorsOf(daemon.child.pid);
    const child = Bun.spawn(
      ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].concat(
        ...["/usr/bin/python3", PROGRAM, socket, "dgram", message, "40"],
      ),
      { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
    );
    later(async () => {
      child.kill("SIGKILL");
      await child.exited;
    });
    expect(Buffer.from((await child.stdout.getReader().read()).value ?? []).toString()).toStartWith(
      "sent",
    );
    for (let count = 0; count < 5; count++) {
      expect((await python(socket, BARRIER)).out).toBe("1");
    }
    child.stdin.end();
    await child.exited;
    while (descriptorsOf(daemon.child.pid) > before) await Bun.sleep(20);
    expect(await daemon.stop("SIGTERM")).toBe(0);
  });
}
