/** What stands in for the parts of Linux 6.16 on older kernels, which the tests' own may be newer than. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "../login1/support/probe.ts";

const ROOT = join(import.meta.dir, "../..");
const LIBRARY = join(ROOT, "lib/linux/index.ts");
const OPTIONS = join(ROOT, "lib/linux/sockets/options.ts");

let folder: string;
let olderKernel: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "p7-older-kernel-"));
  olderKernel = await compile(join(import.meta.dir, "older-kernel.c"), "-lc", folder);
});

afterAll(() => rmSync(folder, { recursive: true }));

/** Runs bun as on an older kernel; returns its status and all that it printed. */
async function onOlderKernel(...words: string[]) {
  const child = Bun.spawn([olderKernel, process.execPath, ...words], {
    cwd: ROOT,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [code, out, errors] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  return { code, out, errors };
}

test("it has no SO_PASSRIGHTS, and no filter that can ask who sends", async () => {
  const program = `import * as linux from ${JSON.stringify(LIBRARY)};
import { hasRefusedDescriptors } from ${JSON.stringify(OPTIONS)};
const [ours] = linux.socketPair();
console.log(linux.refuseDescriptors(ours), hasRefusedDescriptors(ours));
linux.createSenderFilter(ours);`;
  const { code, out, errors } = await onOlderKernel("-e", program);
  expect({ code, out }).toEqual({ code: 1, out: "false false\n" });
  expect(errors).toContain("EINVAL");
});

// They look for themselves what the kernel can do.
for (const [file, names] of [
  ["test/notify/hostile.test.ts", "."],
  ["test/varlink/varlink.test.ts", "descriptors that come along"],
] as const) {
  test(`file descriptors of strangers there: ${file}`, async () => {
    const words = ["test", "--timeout=60000", `./${file}`, "--test-name-pattern", names];
    const { code, errors } = await onOlderKernel(...words);
    // bun fails where no test has such a name, too.
    if (code !== 0) throw new Error(errors);
  }, 240_000);
}
