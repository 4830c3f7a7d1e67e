/** Attacks on who somebody is, and on what a user has of the system: S1 to R1 of the review. */
import { HostError } from "../../../scripts/host.ts";
import type { Live } from "../index.ts";
import { buildProgram } from "./programs.ts";
import type { Attack } from "./table.ts";

interface Try {
  readonly name: string;
  /** For sh, as root unless `as` says otherwise; $user and $other are two ordinary users. */
  readonly script: string;
  /** What it prints where the attack is refused. */
  readonly refusal: RegExp;
  readonly as?: string;
  /** What it prints where this system lacks what is to refuse it. */
  readonly lacks?: RegExp;
}

const SCOPE = "cat /proc/self/cgroup";

const TRIES: readonly Try[] = [
  {
    name: "S1 seatd, by the default user",
    as: "liveuser",
    script: `python3 -c 'import socket
s=socket.socket(socket.AF_UNIX);s.connect("/run/seatd.sock");print("connected")' 2>&1`,
    refusal: /Error/,
  },
  {
    // The session of a dead leader is closing while a process is left; its number is used again.
    name: "P1 the number of a dead leader",
    script: `su -l $user -c 'setsid sleep 60 >/dev/null 2>&1 </dev/null &' & leader=$!
wait $leader; sleep 0.3
spawn-as $leader su -l $other -c '${SCOPE}; echo in'
pkill -u $user -x sleep; true`,
    refusal: /session-.*\.scope[\s\S]*in/,
  },
  {
    name: "F1 FUSE over a runtime directory",
    script: `uid=$(id -u $other); directory=/run/user/$uid
su -l $other -c 'sleep 2' & login=$!
for try in 1 2 3 4 5 6 7 8 9 10; do [ -d $directory ] && break; sleep 0.1; done
cover $uid $directory & cover=$!
wait $login; sleep 2
su -l $other -c '${SCOPE}; test -w "$XDG_RUNTIME_DIR" && echo usable'
kill $cover; umount -l $directory 2>/dev/null; true`,
    refusal: /session-.*\.scope[\s\S]*usable/,
  },
  {
    name: "S2 a seat from sshd's environment",
    script: `sh -c 'env PAM_TYPE=open_session PAM_USER='$user' PAM_SERVICE=sshd PAM_TTY=ssh PAM_RHOST=127.0.0.1 XDG_SEAT=seat0 /usr/libexec/lainos/pam-session; loginctl --no-legend list-sessions'`,
    // There is a session, and it is on no seat.
    refusal: /^ *\S+ +\d+ mallory(?!.*seat0).*$/m,
  },
  {
    name: "T1 a terminal of another devpts",
    script: `su -l $user -c 'session=$(sed -n "s/.*session-\\(.*\\)\\.scope.*/\\1/p" /proc/self/cgroup); hostile tty 3 $session'`,
    refusal: /^tty=(?!set|lost)/m,
  },
  {
    name: "L1 a loader's variable from PAM",
    // The user's own shell has it, and goes on; what it does to a program of root's, test/pam shows.
    script: `echo LD_PRELOAD=/nowhere/evil.so >/etc/attack.env
cp /etc/pam.d/su /etc/pam.d/su.kept
{ echo 'session required pam_env.so envfile=/etc/attack.env readenv=1'; cat /etc/pam.d/su.kept; } >/etc/pam.d/su
su -l $other -c '${SCOPE}; echo in'
mv /etc/pam.d/su.kept /etc/pam.d/su; rm /etc/attack.env`,
    refusal: /session-.*\.scope[\s\S]*in/,
  },
  {
    // As newuidmap(1) lets the user do in a user namespace. Root stands in for it here.
    name: "R2 connections as every subordinate user",
    script: `grep -q "^$user:" /etc/subuid || echo "$user:300000:65536" >>/etc/subuid
sleep 1.5
python3 - "$(sed -n "s/^$user:\\([0-9]*\\):.*/\\1/p" /etc/subuid)" "$(id -u $other)" <<'END'
import os, socket, sys, time
first, other = map(int, sys.argv[1:])
path = "/run/systemd/io.systemd.Login"
r, w = os.pipe()
children = []
for number in range(40):
    pid = os.fork()
    if pid == 0:
        os.setuid(first + number)
        held = []
        for _ in range(64):
            s = socket.socket(socket.AF_UNIX); s.connect(path); held.append(s)
        os.write(w, b"x")
        time.sleep(30)
        os._exit(0)
    children.append(pid)
for _ in children: os.read(r, 1)
asking = os.fork()
if asking == 0:
    os.setuid(other)
    s = socket.socket(socket.AF_UNIX); s.settimeout(3); s.connect(path)
    s.sendall(b'{"method":"org.varlink.service.GetInfo"}\\0')
    print("answered" if b"vendor" in s.recv(4096) else "sent away", flush=True)
    os._exit(0)
os.waitpid(asking, 0)
for pid in children: os.kill(pid, 9)
END`,
    refusal: /^answered$/m,
  },
  {
    name: "R1 processes without a limit",
    script: `grep -qw pids /sys/fs/cgroup/cgroup.controllers /sys/fs/cgroup/unified/cgroup.controllers 2>/dev/null || { echo "no pids controller"; exit; }
su -l $user -c 'cat /sys/fs/cgroup/user.slice/user-'$(id -u $user)'.slice/pids.max' 2>&1`,
    refusal: /^\d+$/m,
    lacks: /^no pids controller$/m,
  },
];

const OTHER = "navi";

/** Runs them one after the other. */
export async function attackIdentity(live: Live, user: string): Promise<Attack[]> {
  for (const name of ["spawn-as", "cover", "hostile"]) {
    await buildProgram(name, `${live.root}/usr/local/bin/${name}`);
  }
  const added = await live.exec(["useradd", "-m", "-s", "/bin/bash", OTHER]);
  if (added.code !== 0) throw new HostError(`useradd: ${added.stderr.trim()}`);
  await live.exec(["sh", "-c", "[ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229"]);
  const attacks: Attack[] = [];
  for (const { name, script, refusal, as, lacks } of TRIES) {
    const given = `user=${user} other=${OTHER}\n${script}`;
    const done = await live.exec(
      ["bash", "-c", given],
      as === undefined ? { timeout: 60_000 } : { user: as, timeout: 60_000 },
    );
    const said = `${done.stdout}${done.stderr}`.trim();
    attacks.push({
      where: as ?? "another user",
      name,
      outcome: said.replaceAll("\n", "; ").slice(-90),
      refused: refusal.test(said) || lacks?.test(said) === true,
      by: "its check",
      unproven: lacks?.test(said) === true,
    });
  }
  return attacks;
}
