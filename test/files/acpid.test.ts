/** The service of acpid-openrc with the real acpid: who may read its events. */
import { expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureHostPackages } from "../../scripts/host.ts";
import { ROOT } from "./run.ts";

/** The command line that OpenRC would start, with the socket at a place of the test's. */
async function commandLine(folder: string, settings = ""): Promise<string[]> {
  const script = join(ROOT, "packages/acpid-openrc/acpid.initd");
  const code = `
    lainos_supervise() { :; }
    lainos_first() { command -v acpid; }
    ${settings}
    grep -v libexec/lainos/service.sh ${script} >${folder}/service
    acpid_config=${folder}/events
    . ${folder}/service
    printf '%s\\n' "$command" $command_args`;
  const child = Bun.spawn(["sh", "-euc", code], { stdout: "pipe", stderr: "inherit" });
  const words = (await child.stdout.text()).trim().split("\n");
  expect(await child.exited).toBe(0);
  return words.map((word) => word.replace("/run/acpid.socket", join(folder, "socket")));
}

test.each([
  ["root alone", "", 0],
  ["a group that is named", "acpid_group=disk", 6],
])(
  "the socket is readable for %s",
  async (_, settings, group) => {
    await ensureHostPackages(["acpid"]);
    const folder = await mkdtemp(join(tmpdir(), "p7-acpid-"));
    await mkdir(join(folder, "events"));
    // A network of its own, for its netlink socket, and a process namespace, whose end is its end.
    const words = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const child = Bun.spawn([...words, ...(await commandLine(folder, settings)), "--netlink"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    try {
      const socket = join(folder, "socket");
      // It binds first and sets mode and group then.
      const settled = async () => {
        const found = await stat(socket).catch(() => undefined);
        return found !== undefined && (found.mode & 0o777) === 0o660 && found.gid === group;
      };
      for (let tries = 0; tries < 100 && !(await settled()); tries++) await Bun.sleep(50);
      const { mode, uid, gid } = await stat(socket);
      expect({ mode: mode & 0o777, uid, gid }).toEqual({ mode: 0o660, uid: 0, gid: group });
    } finally {
      child.kill("SIGKILL");
      await child.exited;
      await rm(folder, { recursive: true });
    }
  },
  60_000,
);
