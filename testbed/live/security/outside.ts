/** Attacks by ordinary users of the system, and by what root is tricked into passing on. */
import { HostError } from "../../../scripts/host.ts";
import type { Live } from "../index.ts";
import type { Attack } from "./table.ts";

interface Try {
  readonly name: string;
  /** For sh, with $session for the live user's session and $bridge for the bridge's pid. */
  readonly script: string;
  /** What the attacked has to say; the script has to fail as well. */
  readonly refusal: RegExp;
  readonly as?: "root";
}

const LOGIN = "busctl call org.freedesktop.login1 /org/freedesktop/login1";
const MANAGER = `${LOGIN} org.freedesktop.login1.Manager`;
const BUS = "busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus";
const DENIED = /denied|authentication (is )?required|not permitted|not allowed/i;
const CREATE = "CreateSession 'uusssssussbssa(sv)'";

const TRIES: readonly Try[] = [
  {
    name: "KillSession of another's",
    script: `${MANAGER} KillSession ssi $session all 9`,
    refusal: DENIED,
  },
  {
    name: "TerminateSession of another's",
    script: `${MANAGER} TerminateSession s $session`,
    refusal: DENIED,
  },
  {
    name: "LockSession of another's",
    script: `${MANAGER} LockSession s $session`,
    refusal: DENIED,
  },
  { name: "KillUser of another's", script: `${MANAGER} KillUser ui 1000 9`, refusal: DENIED },
  { name: "TerminateSeat", script: `${MANAGER} TerminateSeat s seat0`, refusal: DENIED },
  {
    name: "SetUserLinger of another's",
    script: `${MANAGER} SetUserLinger ubb 1000 true false`,
    refusal: DENIED,
  },
  {
    name: "SetUserLinger of root",
    script: `${MANAGER} SetUserLinger ubb 0 true false`,
    refusal: DENIED,
  },
  {
    name: "CreateSession by a user",
    script: `${MANAGER} ${CREATE} 1001 $$ x tty user "" seat0 0 tty1 "" false "" "" 0`,
    refusal: DENIED,
  },
  {
    name: "ReleaseSession by a user",
    script: `${MANAGER} ReleaseSession s $session`,
    refusal: DENIED,
  },
  {
    name: "Inhibit by a stranger",
    script: `${MANAGER} Inhibit ssss shutdown me why block`,
    refusal: DENIED,
  },
  {
    name: "SetRebootParameter injection",
    script: `${MANAGER} SetRebootParameter s "x; touch /run/attacked"`,
    refusal: /denied|authentication|passes no reboot parameter/i,
  },
  {
    name: "SwitchTo without a session",
    script: `${LOGIN}/seat/seat0 org.freedesktop.login1.Seat SwitchTo u 2`,
    refusal: /denied|authentication|not support/i,
  },
  { name: "Reboot by a stranger", script: `${MANAGER} Reboot b false`, refusal: DENIED },
  {
    name: "ScheduleShutdown by a stranger",
    script: `${MANAGER} ScheduleShutdown st poweroff 1`,
    refusal: DENIED,
  },
  {
    name: "SetWallMessage by a stranger",
    script: `${MANAGER} SetWallMessage sb x true`,
    refusal: DENIED,
  },
  {
    name: "FlushDevices by a stranger",
    script: `${MANAGER} FlushDevices b false`,
    refusal: DENIED,
  },
  {
    name: "AttachDevice by a stranger",
    script: `${MANAGER} AttachDevice ssb seat1 /sys/class/net/lo false`,
    refusal: DENIED,
  },
  {
    name: "TakeControl of another's session",
    script: `${LOGIN}/session/$session org.freedesktop.login1.Session TakeControl b false`,
    refusal: /denied|not permitted|only owner|required/i,
  },
  {
    name: "SetBrightness path traversal",
    script: `${LOGIN}/session/$session org.freedesktop.login1.Session SetBrightness ssu backlight ../../../etc/passwd 1`,
    refusal: /not a valid device name|denied|only owner/i,
    as: "root",
  },
  {
    name: "AttachDevice path traversal",
    script: `${MANAGER} AttachDevice ssb seat1 /sys/../etc false`,
    refusal: /not normalized/,
    as: "root",
  },
  {
    name: "AttachDevice rule injection",
    script: `${MANAGER} AttachDevice ssb 'seat1", RUN+="x' /sys/class/net/lo false`,
    refusal: /Seat name .* is not valid/,
    as: "root",
  },
  {
    name: "wall message with escapes",
    script: `${MANAGER} SetWallMessage sb "$(printf '\\033]0;x\\007')" true`,
    refusal: /control characters/,
    as: "root",
  },
  {
    name: "wall message without end",
    script: `${MANAGER} SetWallMessage sb "$(head -c 5000 /dev/zero | tr '\\0' a)" true`,
    refusal: /too long/,
    as: "root",
  },
  {
    name: "CreateSession for a leader that is gone",
    script: `sleep 0 & p=$!; wait; ${MANAGER} ${CREATE} 1000 $p x tty user "" "" 0 "" "" false "" "" 0`,
    refusal: /process|leader|invalid/i,
    as: "root",
  },
  {
    name: "CreateSession for a session's leader",
    script: `${MANAGER} ${CREATE} 1001 $(loginctl show-session -P Leader $session 2>/dev/null || loginctl show-session --value -p Leader $session) x tty user "" "" 0 "" "" false "" "" 0`,
    refusal: /already/i,
    as: "root",
  },
  {
    name: "object path escape",
    script: `busctl call org.freedesktop.login1 /org/freedesktop/login1/session/_2e_2e_2fx org.freedesktop.login1.Session Terminate`,
    refusal: /unknown/i,
  },
  {
    name: "login1's name",
    script: `${BUS} RequestName su org.freedesktop.login1 4`,
    refusal: /not allowed to own|denied/i,
  },
  {
    name: "systemd1's name",
    script: `${BUS} RequestName su org.freedesktop.systemd1 4`,
    refusal: /not allowed to own|denied/i,
  },
  {
    name: "BUN_OPTIONS for activated services",
    script: `${BUS} UpdateActivationEnvironment a{ss} -- 1 BUN_OPTIONS --preload=/tmp/x`,
    refusal: /denied|not permitted|not privileged/i,
  },
  {
    name: "varlink CreateSession",
    script: `python3 -c 'import socket,os
s=socket.socket(socket.AF_UNIX);s.connect("/run/systemd/io.systemd.Login")
s.send(b"{\\"method\\":\\"io.systemd.Login.CreateSession\\",\\"parameters\\":{\\"UID\\":0,\\"PID\\":%d,\\"Service\\":\\"x\\",\\"Type\\":\\"tty\\",\\"Class\\":\\"user\\"}}\\0"%os.getpid())
r=s.recv(4096).decode();print(r);exit("error" in r)'`,
    refusal: /PermissionDenied|PermissionError|denied/i,
  },
  {
    name: "notify as another process",
    script: `python3 -c 'import socket,struct
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.connect("/run/systemd/notify")
s.sendmsg([b"MAINPID=1"],[(1,2,struct.pack("iII",1,0,0))])'`,
    refusal: /PermissionError/,
  },
  {
    name: "forged state of a session",
    script: "echo x >/run/systemd/sessions/666",
    refusal: DENIED,
  },
  { name: "forged state of a user", script: "echo x >/run/systemd/users/1001", refusal: DENIED },
  { name: "forged inhibitor", script: "mkfifo /run/systemd/inhibit/666.ref", refusal: DENIED },
  { name: "forged linger", script: "touch /var/lib/systemd/linger/root", refusal: DENIED },
  { name: "link at /run/user/UID", script: "ln -s /etc /run/user/4242", refusal: DENIED },
  {
    name: "link for the socket",
    script: "ln -sf /etc/passwd /run/systemd/notify",
    refusal: DENIED,
  },
  { name: "another's runtime directory", script: "ls /run/user/1000", refusal: DENIED },
  {
    name: "init's fifo",
    script: "echo x >/run/openrc/init.ctl || echo x >/run/initctl",
    refusal: DENIED,
  },
  {
    name: "leave one's cgroup",
    script:
      "echo $$ >/sys/fs/cgroup/user.slice/user-1000.slice/session-$session.scope/cgroup.procs",
    refusal: DENIED,
  },
  {
    name: "the daemons' logs",
    script: "cat /var/log/lainos/lainos-dbus-bridge.log",
    refusal: DENIED,
  },
  { name: "kill the bridge", script: "kill -9 $bridge", refusal: DENIED },
  { name: "the bridge's memory", script: "cat /proc/$bridge/mem", refusal: DENIED },
  {
    name: "the bridge's pipe to the hooks",
    script: "echo pre suspend x >/proc/$bridge/fd/8",
    refusal: DENIED,
  },
  {
    name: "the launcher as a user",
    script: "/usr/libexec/lainos/sandbox dbus-bridge /bin/sh",
    refusal: /superuser|denied|permi/i,
  },
  {
    name: "PAM's script as a user",
    script:
      "PAM_TYPE=open_session PAM_USER=root PAM_SERVICE=x BUN_BE_BUN=1 /usr/libexec/lainos/pam-session",
    refusal: /run by pam_systemd.so, as root/,
  },
];

/** The same kinds of attempt by who may: were one of these refused, the refusals would show nothing. */
const CONTROLS: readonly Pick<Try, "name" | "script">[] = [
  { name: "a method, by root", script: `${MANAGER} SetUserLinger ubb 1000 false false` },
  {
    name: "another's name, by root",
    script: `python3 -c 'import socket,struct
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.connect("/run/systemd/notify")
s.sendmsg([b"STATUS=x"],[(1,2,struct.pack("iII",1,0,0))])'`,
  },
  {
    name: "the tree, by root",
    script: "touch /run/systemd/sessions/.x && rm /run/systemd/sessions/.x",
  },
  { name: "the log, by root", script: "cat /var/log/lainos/lainos-dbus-bridge.log" },
  { name: "a signal, by root", script: "kill -0 $bridge" },
];

/** Runs them one after the other, each as the user `user` unless it is root that is tricked. */
export async function attackOutside(live: Live, user: string): Promise<Attack[]> {
  const session = (await live.sessions()).find((one) => one.user === "liveuser")?.id ?? "none";
  const bridge = (await live.exec(["pgrep", "-o", "-x", "lainos-dbus-bri"])).stdout.trim();
  const attacks: Attack[] = [];
  for (const { name, script } of CONTROLS) {
    const done = await live.exec(["bash", "-c", `bridge=${bridge}\n${script}`]);
    if (done.code !== 0) throw new HostError(`the control "${name}" failed: ${done.stderr.trim()}`);
  }
  for (const { name, script, refusal, as } of TRIES) {
    const given = `session=${session} bridge=${bridge}\n${script}`;
    const done = await live.exec(["bash", "-c", given], as === "root" ? {} : { user });
    const said = `${done.stdout}${done.stderr}`.trim();
    attacks.push({
      where: as ?? "another user",
      name,
      outcome: said.split("\n").at(-1)?.slice(-90) ?? "",
      refused: done.code !== 0 && refusal.test(said),
      by: "its check",
    });
  }
  return attacks;
}
