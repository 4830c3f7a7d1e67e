import { expect, test } from "bun:test";
import {
  close,
  openPidfd,
  pidOfPidfd,
  processStatus,
  SystemError,
  watchProcess,
} from "../../../lib/linux/index.ts";

test("a pidfd tells once when its process ends", async () => {
  const child = Bun.spawn(["sleep", "0.2"]);
  const started = performance.now();
  const gone = Promise.withResolvers<void>();
  const end = watchProcess(child.pid, () => gone.resolve());
  await gone.promise;
  expect(performance.now() - started).toBeGreaterThan(150);
  end();
  expect(() => openPidfd(2 ** 22 + 1)).toThrow(SystemError);
});

test("a pidfd names its process", async () => {
  const child = Bun.spawn(["sleep", "5"]);
  const pidfd = openPidfd(child.pid);
  expect(pidOfPidfd(pidfd)).toBe(child.pid);
  child.kill();
  await child.exited;
  expect(pidOfPidfd(pidfd)).toBe(-1);
  close(pidfd);
  expect(() => pidOfPidfd(0)).toThrow("not a pidfd");
});

test("a process that renamed itself oddly is read right", async () => {
  const child = Bun.spawn([
    "python3",
    "-c",
    "import time; open('/proc/self/comm','w').write('a) (b 1'); print(1, flush=True); time.sleep(5)",
  ]);
  await child.stdout.getReader().read();
  const status = processStatus(child.pid);
  expect(status?.command).toBe("a) (b 1");
  expect(status?.parent).toBe(process.pid);
  expect(status?.startTime).toBeGreaterThan(0n);
  child.kill();
  await child.exited;
  expect(processStatus(child.pid)).toBeUndefined();
});
