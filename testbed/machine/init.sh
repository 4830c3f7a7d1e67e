#!/busybox sh
# shellcheck shell=dash
# The first process of the machine, in the initramfs: puts the root together and becomes its init.
set -eu
export PATH=/
b() { /busybox "$@"; }
b mount -t proc proc /proc
b mount -t sysfs sysfs /sys
b mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do b insmod "$module"; done
# Before any file system is mounted: what is resumed has them mounted as they were.
case " $(b cat /proc/cmdline) " in
	*" resume=/dev/vdc "*) b cat /sys/class/block/vdc/dev >/sys/power/resume ;;
esac
b mount -t ext4 -o ro,noload /dev/vda /base
b mount -t ext4 /dev/vdb /own
b mount -t overlay -o lowerdir=/base,upperdir=/own/upper,workdir=/own/work root /root
for part in proc sys dev; do b mount -o move "/$part" "/root/$part"; done
exec /busybox switch_root /root /sbin/openrc-init
