#!/bin/sh
# with-overlay.sh CGROUP LOWER DIR COMMAND...
# Runs COMMAND, on the host's files, where DIR/merged is the overlay of DIR/upper over LOWER, with
# what a chroot into it needs. All in namespaces of its own: nothing is left mounted or running.
set -eu
if [ -n "$1" ]; then
	# Joins the cgroup first, then comes back in namespaces of its own with an empty first argument.
	echo 0 >"$1/cgroup.procs"
	shift
	exec unshare --pid --fork --kill-child --mount-proc sh "$0" '' "$@"
fi
lower=$2 dir=$3
shift 3
mount -t overlay -o "lowerdir=$lower,upperdir=$dir/upper,workdir=$dir/work" overlay "$dir/merged"
mount -t proc -o nosuid,nodev,noexec proc "$dir/merged/proc"
mount -t tmpfs -o mode=755,nosuid tmpfs "$dir/merged/dev"
for node in null zero full random urandom; do
	: >"$dir/merged/dev/$node"
	mount --bind "/dev/$node" "$dir/merged/dev/$node"
done
"$@"
