#!/bin/sh
# start.sh ROOT LOOP DISPLAY COMMAND...
# Runs COMMAND in ROOT, where scripts/lib/with-overlay.sh has put a system: with a system bus, polkit
# and Openbox, on the host's X server DISPLAY, without a network.
#
# The loop device LOOP (loop3, say) is the only disk there, as /dev/sda: KPMcore passes over what lsblk
# calls a loop device, and lsblk goes by the name in /sys/block. None of the host's disks has a node.
set -eu
root=$1 loop=$2 display=$3
shift 3

mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/sys/block"
for name in sda "$loop"; do
	ln -s "../devices/virtual/block/$loop" "$root/sys/block/$name"
done
mknod "$root/dev/sda" b 7 "${loop#loop}"
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/dbus" "$root/tmp/.X11-unix"
mount --bind /tmp/.X11-unix "$root/tmp/.X11-unix"

exec chroot "$root" env -i \
	PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DISPLAY="$display" XDG_RUNTIME_DIR=/run \
	sh -euc '
		dbus-uuidgen >/etc/machine-id
		dbus-daemon --system --fork
		/usr/lib/polkit-1/polkitd --no-debug >/dev/null 2>&1 &
		openbox >/tmp/openbox.log 2>&1 &
		exec "$@"
	' sh "$@"
