/** Every value of a session's and a user's state file, damaged in every way that we know of. */
import { expect, test } from "bun:test";
import { join } from "node:path";

const READER = join(import.meta.dir, "read-damaged.ts");

test("damaged values cost what is damaged, and nobody gets another's session", async () => {
  const words = ["unshare", "--mount", "--propagation", "private", "sh", "-c"];
  const script = 'mount -t tmpfs tmpfs /run && exec "$@"';
  const child = Bun.spawn([...words, script, "sh", process.execPath, READER], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  const { cases, problems } = JSON.parse(text);
  expect(problems).toEqual([]);
  expect(cases).toBeGreaterThan(800);
}, 120_000);
