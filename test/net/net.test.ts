import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { HARDENING } from "../../lib/net/index.ts";

// Each test starts several processes, which takes its time on a busy machine.
setDefaultTimeout(30_000);

const COMMAND = join(import.meta.dir, "../../cmd/net-init.ts");

const folders: string[] = [];
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true });
});

/** A stand-in for /proc/sys in which every key has the value `value`. */
function newProcSys(value: string, interfaces: string[] = []): string {
  const root = mkdtempSync(join(tmpdir(), "p7-net-"));
  folders.push(root);
  for (const { key } of HARDENING) {
    for (const name of ["all", "default", ...interfaces]) {
      const file = join(root, key.replace("*", name));
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, `${value}\n`);
    }
  }
  return root;
}

function netInit(...args: string[]) {
  const child = Bun.spawnSync(["bun", COMMAND, ...args]);
  return {
    status: child.exitCode,
    out: child.stdout.toString(),
    errors: child.stderr.toString(),
  };
}

/**
 * Runs a shell script as root of a network namespace of its own, which goes with
 * it. $NET_INIT is the command; it never touches keys that are not namespaced.
 */
function inNamespace(script: string) {
  const child = Bun.spawnSync(["unshare", "--net", "sh", "-euc", script], {
    env: { ...process.env, NET_INIT: `bun ${COMMAND} --only net` },
  });
  return {
    status: child.exitCode,
    out: child.stdout.toString(),
    errors: child.stderr.toString(),
  };
}

describe("in a network namespace of the real kernel", () => {
  test("every key of every interface is set, those of later interfaces too", () => {
    const { status, out, errors } = inNamespace(`
      ip link set lo up
      ip link add p7.0 type veth peer name p7b
      if $NET_INIT --check > /dev/null; then exit 9; fi
      $NET_INIT
      ip link add late type veth peer name lateb
      $NET_INIT --check > /dev/null
      cd /proc/sys/net
      for name in all default lo p7.0 p7b late; do
        echo $name $(cat ipv6/conf/$name/disable_ipv6 ipv4/conf/$name/rp_filter \
          ipv4/conf/$name/accept_redirects ipv4/conf/$name/secure_redirects \
          ipv4/conf/$name/send_redirects ipv4/conf/$name/accept_source_route \
          ipv4/conf/$name/log_martians)
      done
      cat ipv4/tcp_syncookies ipv4/tcp_rfc1337`);
    expect(errors).toMatch(
      /^lainos-net-init: \d+ keys set, \d+ right already, 0 lacking, 0 failed$/m,
    );
    expect(status).toBe(0);
    const names = ["all", "default", "lo", "p7.0", "p7b", "late"];
    expect(out.trim().split("\n")).toEqual([
      ...names.map((name) => `${name} 1 1 0 0 0 0 1`),
      "1",
      "1",
    ]);
  });

  test("it works: IPv6 is there before and gone after", () => {
    const { status, out } = inNamespace(`
      ip link set lo up
      bind6() { python3 -c 'import socket; socket.socket(socket.AF_INET6).bind(("::1", 0))' 2>&1; }
      bind6 && echo before
      $NET_INIT 2> /dev/null
      bind6 | tail -n 1`);
    expect(status).toBe(0);
    expect(out).toMatch(/^before\nOSError: .*Cannot assign requested address/);
  });

  test("a second run changes nothing; --check prints each key and why", () => {
    const { out, errors, status } = inNamespace(
      "$NET_INIT 2> /dev/null; $NET_INIT; $NET_INIT --check",
    );
    expect(errors).toMatch(
      /^lainos-net-init: 0 keys set, \d+ right already, 0 lacking, 0 failed$/m,
    );
    expect(status).toBe(0);
    expect(out).toMatch(/^right +net\.ipv4\.conf\.lo\.rp_filter +1 +1 +a packet with a forged/m);
    expect(out).not.toContain("kernel.");
  });

  test("interfaces that come later have them, made here or moved in from elsewhere", () => {
    const { out, errors, status } = inNamespace(`
      $NET_INIT 2> /dev/null
      ip link add late type veth peer name p7b
      unshare --net sleep infinity & other=$!
      trap 'kill $other' EXIT
      while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
      there="nsenter --net=/proc/$other/ns/net"
      $there ip link add moved type veth peer name p7c
      $there sh -euc '
        cd /proc/sys/net
        echo 0 > ipv6/conf/moved/disable_ipv6; echo 1 > ipv6/conf/moved/accept_redirects
        echo 2 > ipv4/conf/moved/rp_filter; echo 1 > ipv4/conf/moved/send_redirects
        ip link set moved netns '$$
      ip link set late up; ip link set moved up
      $NET_INIT --check`);
    expect(errors).toBe("");
    for (const name of ["late", "moved"]) {
      for (const { key, value } of HARDENING.filter((row) => row.key.includes("*"))) {
        const dotted = key.replace("*", name).replaceAll("/", ".");
        expect(out).toMatch(new RegExp(`^right +${dotted} +${value} +${value} `, "m"));
      }
    }
    expect(status).toBe(0);
  });

  test("what root may not write is named with the reason, and the rest is set", () => {
    const { out, errors, status } = inNamespace(`
      exec 2>&1
      unshare --mount sh -euc '
        mount --bind -o ro /proc/sys/net/ipv4/tcp_rfc1337 /proc/sys/net/ipv4/tcp_rfc1337
        mount -o remount,bind,ro /proc/sys/net/ipv4/tcp_rfc1337
        $NET_INIT && exit 9 || echo status $?
        cat /proc/sys/net/ipv4/conf/all/log_martians'`);
    expect(errors).toBe("");
    expect(out).toMatch(/error: net\.ipv4\.tcp_rfc1337 is 0 and not 1: EROFS/);
    expect(out).toContain("1 failed");
    expect(out).toMatch(/status 1\n1\n$/);
    expect(status).toBe(0);
  });
});

describe("on a stand-in for /proc/sys", () => {
  test("kernel keys are set and read back, each alone by --only", () => {
    const root = newProcSys("9");
    expect(netInit("--proc-sys", root, "--only", "kernel").status).toBe(0);
    const value = (key: string) => readFileSync(join(root, key), "utf8").trim();
    expect(value("kernel/kptr_restrict")).toBe("2");
    expect(value("kernel/dmesg_restrict")).toBe("1");
    expect(value("kernel/sysrq")).toBe("0");
    expect(value("net/ipv4/tcp_syncookies")).toBe("9");
    expect(netInit("--proc-sys", root, "--only", "net").status).toBe(0);
    expect(value("net/ipv4/tcp_syncookies")).toBe("1");
    expect(netInit("--proc-sys", root, "--check").status).toBe(1);
    expect(netInit("--proc-sys", root).status).toBe(0);
    expect(netInit("--proc-sys", root, "--check").status).toBe(0);
  });

  test("what systemd sets beside the network, and what it leaves to the kernel's defaults", () => {
    const root = newProcSys("9");
    expect(netInit("--proc-sys", root).status).toBe(0);
    const expected = {
      "fs/protected_symlinks": "1",
      "fs/protected_hardlinks": "1",
      "fs/protected_regular": "2",
      "fs/protected_fifos": "1",
      "fs/suid_dumpable": "0",
      "kernel/pid_max": "4194304",
      "kernel/core_pattern": "|/bin/false",
      "kernel/yama/ptrace_scope": "1",
      "kernel/kexec_load_disabled": "1",
      "kernel/perf_event_paranoid": "3",
      "kernel/unprivileged_bpf_disabled": "2",
      "net/core/bpf_jit_harden": "1",
      "vm/unprivileged_userfaultfd": "0",
      "dev/tty/ldisc_autoload": "0",
    };
    const found = Object.keys(expected).map((key) => [
      key,
      readFileSync(join(root, key), "utf8").trim(),
    ]);
    expect(Object.fromEntries(found)).toEqual(expected);
  });

  test.each(["fs", "vm", "dev"])("--only %s sets its keys and no others", (scope) => {
    const root = newProcSys("9");
    expect(netInit("--proc-sys", root, "--only", scope).status).toBe(0);
    for (const { key, value } of HARDENING) {
      const wanted = key.startsWith(`${scope}/`) ? value : "9";
      const found = readFileSync(join(root, key.replace("*", "all")), "utf8").trim();
      expect({ key, found }).toEqual({ key, found: wanted });
    }
  });

  test("a stronger value of the administrator's stays and is right", () => {
    const root = newProcSys("9");
    const stronger = { "kernel/yama/ptrace_scope": "3", "kernel/unprivileged_bpf_disabled": "1" };
    for (const [key, value] of Object.entries(stronger)) writeFileSync(join(root, key), value);
    expect(netInit("--proc-sys", root).status).toBe(0);
    for (const [key, value] of Object.entries(stronger)) {
      expect(readFileSync(join(root, key), "utf8")).toBe(value);
    }
    expect(netInit("--proc-sys", root, "--check").status).toBe(0);
  });

  test("a key of the first network namespace alone counts as the kernel's", () => {
    const root = newProcSys("9");
    expect(netInit("--proc-sys", root, "--only", "kernel").status).toBe(0);
    expect(readFileSync(join(root, "net/core/bpf_jit_harden"), "utf8")).toBe("1");
  });

  test("a key that the kernel lacks is named, not made, and no failure", () => {
    const root = newProcSys("0", ["eth0.5"]);
    rmSync(join(root, "net/ipv6"), { recursive: true });
    rmSync(join(root, "kernel/kptr_restrict"));
    const result = netInit("--proc-sys", root);
    expect(result.status).toBe(0);
    expect(result.errors).toContain("warning: kernel.kptr_restrict: this kernel has no such key");
    expect(result.errors.match(/net\.ipv6\.conf\.\*\.disable_ipv6/g)).toHaveLength(1);
    expect(existsSync(join(root, "kernel/kptr_restrict"))).toBe(false);
    expect(existsSync(join(root, "net/ipv6"))).toBe(false);
    expect(readFileSync(join(root, "net/ipv4/conf/eth0.5/rp_filter"), "utf8")).toBe("1");
    const check = netInit("--proc-sys", root, "--check");
    expect(check.status).toBe(0);
    expect(check.out).toMatch(/^lacking +kernel\.kptr_restrict +2 +-/m);
    expect(check.out).toMatch(/^right +net\.ipv4\.conf\.eth0\/5\.rp_filter/m);
  });

  test("a value that does not stay is a failure", () => {
    const root = newProcSys("0");
    // /dev/null takes any write and gives nothing back.
    rmSync(join(root, "kernel/dmesg_restrict"));
    Bun.spawnSync(["ln", "-s", "/dev/null", join(root, "kernel/dmesg_restrict")]);
    const result = netInit("--proc-sys", root);
    expect(result.status).toBe(1);
    expect(result.errors).toContain("kernel.dmesg_restrict is empty and not 1: the kernel took");
    expect(result.errors).toContain("1 failed");
    expect(readFileSync(join(root, "kernel/kptr_restrict"), "utf8")).toBe("2");
  });

  test("--check changes nothing and names what differs", () => {
    const root = newProcSys("9");
    const result = netInit("--proc-sys", root, "--check");
    expect(result.status).toBe(1);
    expect(result.out).toMatch(/^differs +kernel\.sysrq +0 +9 /m);
    for (const name of readdirSync(root, { recursive: true, encoding: "utf8" })) {
      if (name.endsWith("rp_filter")) expect(readFileSync(join(root, name), "utf8")).toBe("9\n");
    }
  });

  test("what the owner wants otherwise is left as it is", () => {
    const root = newProcSys("9");
    const except = ["--except", "kernel.sysrq,net.ipv4.conf.*.rp_filter"];
    expect(netInit("--proc-sys", root, ...except).status).toBe(0);
    const value = (key: string) => readFileSync(join(root, key), "utf8").trim();
    expect(value("kernel/sysrq")).toBe("9");
    expect(value("net/ipv4/conf/all/rp_filter")).toBe("9");
    expect(value("net/ipv4/conf/all/log_martians")).toBe("1");
    expect(netInit("--proc-sys", root, "--check", ...except).status).toBe(0);
    const wrong = netInit("--proc-sys", root, "--except", "kernel.sysrk");
    expect(wrong.status).toBe(2);
    expect(wrong.errors).toContain("kernel.sysrk");
  });

  test("wrong usage is status 2", () => {
    expect(netInit("--only", "wifi").status).toBe(2);
    expect(netInit("--colour").status).toBe(2);
  });
});

describe("the file for sysctl(8)", () => {
  const FILE = join(import.meta.dir, "../../files/etc/sysctl.d/99-lainos-hardening.conf");

  test("is what the table makes", () => {
    expect(netInit("--sysctl")).toEqual({
      status: 0,
      out: readFileSync(FILE, "utf8"),
      errors: "",
    });
  });

  test("leaves out what the kernel never takes back, so that a later file can win", () => {
    const text = readFileSync(FILE, "utf8");
    expect(text).not.toContain("kexec_load_disabled");
    for (const { key, final } of HARDENING) {
      if (!final) expect(text).toContain(`-${key.replaceAll("/", ".")} = `);
    }
  });

  test("makes sysctl set what the command sets", () => {
    const { out, errors, status } = inNamespace(`
      ip link add p7.0 type veth peer name p7b
      grep '^-net.ipv' ${FILE} | sysctl -q -p /dev/stdin
      $NET_INIT --check`);
    expect(errors).toBe("");
    expect(out).toMatch(/^right +net\.ipv4\.conf\.p7\/0\.rp_filter/m);
    expect(status).toBe(0);
  });
});

const SERVICE = join(import.meta.dir, "../../openrc/init.d/lainos-net-init");

/**
 * Runs start_pre of the init script, with OpenRC's words for messages, in a mount namespace with
 * files for the two keys and for sysctl.d.
 */
function startPre(sysctl: string, pattern: string, settings = "") {
  const folder = mkdtempSync(join(tmpdir(), "p7-net-init-"));
  folders.push(folder);
  mkdirSync(join(folder, "sysctl.d"));
  writeFileSync(join(folder, "sysctl.d/99-lainos-hardening.conf"), sysctl);
  writeFileSync(join(folder, "pattern"), `${pattern}\n`);
  writeFileSync(join(folder, "pids"), "32768\n");
  const script = `
    mkdir -p /etc/sysctl.d
    mount --bind ${folder}/sysctl.d /etc/sysctl.d
    mount --bind ${folder}/pattern /proc/sys/kernel/core_pattern
    mount --bind ${folder}/pids /proc/sys/kernel/pid_max
    [ ! -e /proc/sys/kernel/yama ] || mount -t tmpfs tmpfs /proc/sys/kernel/yama
    grep -v libexec/lainos/service.sh ${SERVICE} >${folder}/service
    ewarn() { echo "$*" >&2; }
    ${settings}
    . ${folder}/service
    start_pre`;
  const child = Bun.spawnSync(["unshare", "--mount", "sh", "-euc", script]);
  return {
    status: child.exitCode,
    errors: child.stderr.toString(),
    pattern: readFileSync(join(folder, "pattern"), "utf8").trim(),
    pids: readFileSync(join(folder, "pids"), "utf8").trim(),
  };
}

describe("what the service sets before its sandbox closes", () => {
  const FILE = "-kernel.core_pattern = |/bin/false\n";

  test("is the file's", () => {
    expect(startPre(`${FILE}-kernel.pid_max = 99999\n`, "core")).toEqual({
      status: 0,
      errors: "",
      pattern: "|/bin/false",
      pids: "99999",
    });
  });

  test("is the table's where the file has no line of it, as one that somebody edited before", () => {
    expect(startPre("# no such line\n", "core")).toMatchObject({
      status: 0,
      pattern: "|/bin/false",
      pids: "4194304",
    });
    expect(startPre("kernel.core_pattern = /var/core/%p\n", "core").pattern).toBe("/var/core/%p");
  });

  test("is nothing where --except names the key, or --only leaves the kernel out", () => {
    const settings = 'lainos_net_init_args="--except kernel.sysrq,kernel.core_pattern"';
    expect(startPre(FILE, "core", settings).pattern).toBe("core");
    expect(startPre(FILE, "core", 'lainos_net_init_args="--only net"').pattern).toBe("core");
    expect(startPre(FILE, "core", 'lainos_net_init_args="--only kernel"').pattern).not.toBe("core");
    const both = 'lainos_net_init_args="--only net --only kernel"';
    expect(startPre(FILE, "core", both).pattern).toBe("|/bin/false");
  });

  test("cannot be written in the sandbox, which binds all other keys of the table", () => {
    const profile = join(import.meta.dir, "../../files/usr/libexec/lainos/profiles/net-init");
    const bound = new Set(readFileSync(profile, "utf8").match(/\/proc\/sys\/[a-z_/]+/g));
    for (const { key, beforehand: outside = false } of HARDENING) {
      if (key.startsWith("net/")) continue;
      expect({ key, bound: bound.has(`/proc/sys/${key}`) }).toEqual({
        key,
        bound: !outside,
      });
    }
  });
});
