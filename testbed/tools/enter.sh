#!/bin/sh
# enter.sh ROOT CHECKOUT CACHE HOME BUN COMMAND...
# In a mount namespace of its own: mounts a writable copy of ROOT in memory, gives it what is the
# host's, and becomes COMMAND in it.
set -eu
lower=$1 checkout=$2 cache=$3 home=$4 bun=$5
shift 5

# Any folder that is nobody's: the copy is mounted over it, in this namespace alone.
place=/mnt
mount -t tmpfs -o mode=0755,size=75% tools "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$place/upper,workdir=$place/work" tools "$place/root"
root=$place/root

for path in /proc /sys /dev; do
	mount --rbind "$path" "$root$path"
done
# Memory for all that is made on the way would be too small for images.
for path in /tmp /var/tmp; do
	mkdir -p "$root$path"
	mount --bind "$path" "$root$path"
done
mount -t tmpfs -o mode=0755,nosuid,nodev tools "$root/run"
# A checkout's node_modules may be a link to another's.
modules=$(readlink -f "$checkout/node_modules")
for path in "$home" "$checkout" "$cache" "$modules"; do
	[ -d "$path" ] || continue
	mkdir -p "$root$path"
	mount --rbind "$path" "$root$path"
done
if [ ! -e "$root$bun" ]; then
	mkdir -p "$root${bun%/*}"
	: >"$root$bun"
	mount --bind "$bun" "$root$bun"
fi
for file in resolv.conf hosts hostname; do
	[ ! -f "/etc/$file" ] || cp "/etc/$file" "$root/etc/$file"
done
# Trust in a mirror or a proxy is the host's to give.
for folder in etc/apt/apt.conf.d usr/local/share/ca-certificates etc/ssl/certs; do
	[ ! -d "/$folder" ] || cp -an "/$folder/." "$root/$folder/"
done
# Not the host's own commands, which its home folder may have.
PATH=$checkout/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
folder=$(pwd)
cd "$root"
mkdir -p mnt/host
pivot_root . mnt/host
cd /
umount -l /mnt/host
rmdir /mnt/host
cd "$folder"
exec "$@"
