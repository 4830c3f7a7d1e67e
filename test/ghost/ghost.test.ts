import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FOLDERS } from "../../lib/ghost/index.ts";
import { bindDatagram, close } from "../../lib/linux/index.ts";

// Each test starts several processes, which takes its time on a busy machine.
setDefaultTimeout(30_000);

const COMMAND = join(import.meta.dir, "../../cmd/ghost-units.ts");

const roots: string[] = [];
/** A system of its own with an empty /run. */
function newRoot(): string {
  const root = mkdtempSync(join(tmpdir(), "p7-ghost-"));
  roots.push(root);
  mkdirSync(join(root, "run"));
  return root;
}
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

function ghostUnits(root: string, ...args: string[]) {
  const child = Bun.spawnSync(["bun", COMMAND, "--root", root, ...args]);
  return {
    status: child.exitCode,
    out: child.stdout.toString(),
    errors: child.stderr.toString(),
  };
}

/** Every path below with its mode, owner and kind, to see that nothing changed. */
function snapshot(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => {
      const stats = lstatSync(join(folder, name));
      return `${name} ${stats.mode.toString(8)} ${stats.uid}:${stats.gid} ${stats.ino} ${stats.ctimeMs}`;
    });
}

describe("lainos-ghost-units", () => {
  test("makes the whole tree under any umask, and a second run changes nothing", () => {
    const root = newRoot();
    const before = process.umask(0o077);
    try {
      expect(ghostUnits(root).status).toBe(0);
    } finally {
      process.umask(before);
    }
    for (const { path, mode } of FOLDERS) {
      const stats = lstatSync(join(root, "run", path));
      expect(stats.isDirectory(), path).toBe(true);
      expect(stats.mode & 0o7777, path).toBe(mode);
      expect([stats.uid, stats.gid], path).toEqual([0, 0]);
    }
    expect(readdirSync(join(root, "run/systemd"))).not.toContain("notify");
    const made = snapshot(root);
    expect(made).toHaveLength(FOLDERS.length + 1);
    expect(ghostUnits(root)).toEqual({ status: 0, out: "", errors: "" });
    expect(snapshot(root)).toEqual(made);
  });

  test("has every folder that the real sd_login_monitor_new watches", () => {
    const root = newRoot();
    ghostUnits(root);
    const program = join(root, "monitor");
    writeFileSync(
      `${program}.c`,
      `#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>
#include <stdio.h>
int main(void) {
  sd_login_monitor *monitor = NULL;
  int result = sd_login_monitor_new(NULL, &monitor);
  printf("booted %d monitor %d\\n", sd_booted() > 0, result);
  sd_login_monitor_unref(monitor);
}`,
    );
    const build = Bun.spawnSync(["gcc", "-o", program, `${program}.c`, "-lsystemd"]);
    expect(build.stderr.toString()).toBe("");
    // The library's paths are fixed, so the tree stands in for /run in a mount namespace.
    const inTree = (folder: string) =>
      Bun.spawnSync([
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount --bind "$1" /run && exec "$2"',
        "sh",
        folder,
        program,
      ]).stdout.toString();
    expect(inTree(join(root, "run"))).toBe("booted 1 monitor 0\n");
    mkdirSync(join(root, "empty"));
    expect(inTree(join(root, "empty"))).toBe("booted 0 monitor -2\n");
  });

  test("corrects owner and mode", () => {
    const root = newRoot();
    ghostUnits(root);
    const seats = join(root, "run/systemd/seats");
    chmodSync(seats, 0o1777);
    chownSync(seats, 65534, 65534);
    const check = ghostUnits(root, "--check");
    expect(check.status).toBe(1);
    expect(check.out).toBe(
      `${seats} belongs to 65534:65534 instead of 0:0\n${seats} has the mode 01777 instead of 0755\n`,
    );
    expect(statSync(seats).uid).toBe(65534);
    expect(ghostUnits(root).status).toBe(0);
    expect(statSync(seats).mode & 0o7777).toBe(0o755);
    expect(statSync(seats).uid).toBe(0);
    expect(ghostUnits(root, "--check")).toEqual({ status: 0, out: "", errors: "" });
  });

  test("names a link and a file in the way, leaves them alone and makes the rest", () => {
    const root = newRoot();
    const elsewhere = join(root, "elsewhere");
    mkdirSync(elsewhere, { mode: 0o700 });
    mkdirSync(join(root, "run/systemd"));
    symlinkSync(elsewhere, join(root, "run/systemd/users"));
    writeFileSync(join(root, "run/systemd/inhibit"), "mine");
    const result = ghostUnits(root);
    expect(result.status).toBe(1);
    expect(result.errors).toContain(`${root}/run/systemd/users is a symbolic link where a folder`);
    expect(result.errors).toContain(`${root}/run/systemd/inhibit is a file where a folder`);
    expect(lstatSync(join(root, "run/systemd/users")).isSymbolicLink()).toBe(true);
    expect(statSync(elsewhere).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(root, "run/systemd/inhibit"), "utf8")).toBe("mine");
    expect(lstatSync(join(root, "run/systemd/ask-password")).isDirectory()).toBe(true);
  });

  test("does not follow a link at /run/systemd itself", () => {
    const root = newRoot();
    mkdirSync(join(root, "elsewhere"));
    symlinkSync("../elsewhere", join(root, "run/systemd"));
    const result = ghostUnits(root);
    expect(result.status).toBe(1);
    expect(result.errors.match(/is a symbolic link/g)).toHaveLength(1);
    expect(readdirSync(join(root, "elsewhere"))).toEqual([]);
  });

  test("--check names every missing folder and makes none", () => {
    const root = newRoot();
    const result = ghostUnits(root, "--check");
    expect(result.status).toBe(1);
    expect(result.out.match(/is missing$/gm)).toHaveLength(FOLDERS.length);
    expect(readdirSync(join(root, "run"))).toEqual([]);
  });

  test("removes an empty folder at the notify socket's place, keeps a full one and a socket", () => {
    const root = newRoot();
    const notify = join(root, "run/systemd/notify");
    mkdirSync(notify, { recursive: true });
    expect(ghostUnits(root).status).toBe(0);
    expect(readdirSync(join(root, "run/systemd"))).not.toContain("notify");

    mkdirSync(notify);
    writeFileSync(join(notify, "file"), "");
    const full = ghostUnits(root);
    expect(full.status).toBe(1);
    expect(full.errors).toContain(`${notify} is a folder with something in it`);
    rmSync(notify, { recursive: true });

    close(bindDatagram(notify));
    expect(ghostUnits(root)).toEqual({ status: 0, out: "", errors: "" });
    expect(lstatSync(notify).isSocket()).toBe(true);
  });

  test("says what is wrong with its arguments", () => {
    const root = newRoot();
    rmSync(join(root, "run"), { recursive: true });
    expect(ghostUnits(root)).toMatchObject({ status: 1 });
    expect(ghostUnits(root, "--chek").status).toBe(2);
    expect(ghostUnits(root, "--version").out).toMatch(/^lainos-ghost-units \d/);
  });
});
