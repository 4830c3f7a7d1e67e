/** The machine that both servers believe to be on: accounts, devices and settings, the same in each world. */
import { addCommands } from "../support/power-world.ts";
import { addDevice } from "../support/udev-database.ts";
import type { World } from "../support/world.ts";

/** Root, people and nobody: by name, with their uids. */
export const UIDS = { root: 0, alice: 1000, bob: 1001, nobody: 65534 } as const;

/** Without delays: what a session or user leaves behind ends at once. */
const SETTINGS = `[Login]
UserStopDelaySec=0
InhibitDelayMaxSec=1h
RemoveIPC=no
`;

/** Those that a system need not have, as in passwd(5) and group(5). */
const PEOPLE = Object.entries(UIDS).filter(([, uid]) => uid >= 1000 && uid < 65534);
const PASSWD = PEOPLE.map(([name, uid]) => `${name}:x:${uid}:${uid}::/tmp:/bin/sh`).join("\n");
const GROUP = PEOPLE.map(([name, uid]) => `${name}:x:${uid}:`).join("\n");

/**
 * A sysfs with an input device on seat0 and one on seat-two, which are /dev/null and /dev/zero, a graphics
 * card on each, and /dev/full as what nobody can take. No VTs, no batteries, no sleep.
 */
const SYSFS = `set -e
mkdir -p /run/sys/fs/cgroup /run/sys/dev/char /run/sys/dev/block /run/sys/class/input /run/sys/class/drm /run/sys/power
mkdir -p /run/sys/class/mem /run/sys/class/power_supply /run/sys/class/backlight /run/sys/class/leds /run/sys/bus
mkdir -p /run/sys/firmware /run/sys/kernel/cgroup /run/sys/devices/virtual
cp /sys/kernel/cgroup/delegate /run/sys/kernel/cgroup/
mount --rbind /sys/fs/cgroup /run/sys/fs/cgroup
add() { # PATH SUBSYSTEM MAJOR:MINOR NODE
  mkdir -p "/run/sys/devices/$1"
  ln -s "/sys/class/$2" "/run/sys/devices/$1/subsystem"
  ln -s "/sys/devices/$1" "/run/sys/class/$2/\${1##*/}"
  : > "/run/sys/devices/$1/uevent"
  [ -z "$3" ] && return
  printf 'MAJOR=%s\\nMINOR=%s\\nDEVNAME=%s\\n' "\${3%:*}" "\${3#*:}" "$4" > "/run/sys/devices/$1/uevent"
  echo "$3" > "/run/sys/devices/$1/dev"
  ln -s "/sys/devices/$1" "/run/sys/dev/char/$3"
}
add fake/input3 input "" ""
add fake/input3/event3 input 1:3 null
add fake/input4 input "" ""
add fake/input4/event4 input 1:5 zero
add virtual/mem/full mem 1:7 full
add fake/card0 drm 226:0 dri/card0
add fake/card1 drm 226:1 dri/card1
mkdir /dev/dri
mknod /dev/dri/card0 c 226 0
mknod /dev/dri/card1 c 226 1
mount --rbind /run/sys /sys
# An announcement (uevent) would replace what is in the file.
mount -o remount,ro,bind /sys
mount -t tmpfs tmpfs /sys/power
: > /sys/power/state
mkdir /run/etc /run/etc.work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc.work overlay /etc
for file in passwd group; do cp /etc/$file /run/; done
echo "$PASSWD" >> /run/passwd
echo "$GROUP" >> /run/group
for file in passwd group; do mount --bind /run/$file /etc/$file; done
mkdir -p /run/systemd/logind.conf.d /run/lainos
printf '%s' "$SETTINGS" | tee /run/lainos/logind.conf > /run/systemd/logind.conf.d/test.conf
`;

/** Gives a world this machine. */
export async function makeMachine(world: World): Promise<void> {
  await addCommands(world);
  const variables = [`PASSWD=${PASSWD}`, `GROUP=${GROUP}`, `SETTINGS=${SETTINGS}`];
  const command = ["env", ...variables, "sh", "-c", SYSFS];
  const { code, stderr } = await world.run(command);
  if (code !== 0) throw new Error(`no machine could be made: ${stderr}`);
  const second = { ID_SEAT: "seat-two" };
  addDevice(world, "+input:input3", ["seat"]);
  addDevice(world, "c1:3", ["seat"]);
  addDevice(world, "+input:input4", ["seat"], second);
  addDevice(world, "c1:5", ["seat"], second);
  addDevice(world, "c1:7", []);
  addDevice(world, "c226:0", ["seat", "master-of-seat"]);
  addDevice(world, "c226:1", ["seat", "master-of-seat"], second);
}
