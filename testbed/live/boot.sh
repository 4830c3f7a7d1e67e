#!/bin/sh
# boot.sh LOWER DIR HOSTNAME
# The first process of the test system: mounts its root and becomes its init.
set -eu
lower=$1 dir=$2
hostname "$3"
mount --make-rprivate /
# /proc is still the host's, which shows this shell under the pid that the host knows.
read -r pid _ </proc/self/stat
echo "$pid" >"$dir/init.pid"
mount -t overlay -o "lowerdir=$lower,upperdir=$dir/upper,workdir=$dir/work" overlay "$dir/merged"
cd "$dir/merged"
mount -t proc -o nosuid,nodev,noexec proc proc
# What no namespace divides is the host's own, and only looked at. Keys of it that are set at boot
# are files of ours here: they keep what is written to them, and the host stays as it was.
for part in fs vm dev kernel; do
	[ ! -d "proc/sys/$part" ] || mount -o bind,ro "proc/sys/$part" "proc/sys/$part"
done
mkdir "$dir/sysctl"
keys=$(sed -n 's/^-\(\(kernel\|fs\|vm\|dev\)\.[^ ]*\) =.*/\1/p' etc/sysctl.d/99-lainos-hardening.conf 2>/dev/null || :)
for key in $keys kernel.kexec_load_disabled; do
	file=proc/sys/$(printf %s "$key" | tr . /)
	[ -e "$file" ] || continue
	cat "$file" >"$dir/sysctl/$key"
	mount --bind "$dir/sysctl/$key" "$file"
done
for file in sysrq-trigger kmsg; do
	[ ! -e "proc/$file" ] || mount --bind /dev/null "proc/$file"
done
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
# No /dev/tty0 nor any other virtual terminal: they are the host's.
mount -t tmpfs -o mode=755,nosuid tmpfs dev
mkdir dev/pts dev/shm dev/input dev/dri
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
ln -s null dev/console
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
mkdir -p mnt/host
pivot_root . mnt/host
cd /
umount -l /mnt/host
rmdir /mnt/host
# Nothing in it may load a module, set the clock or write to hardware: those are the host's as well.
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=linux \
	setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio \
	--inh-caps=-sys_module,-sys_time,-sys_rawio /sbin/openrc-init
