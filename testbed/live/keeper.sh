#!/bin/sh
# keeper.sh CGROUP LOWER DIR HOSTNAME
# Starts the init in namespaces of its own and writes down how it ended: openrc-init kills itself by
# SIGINT (status 130) for power-off and by SIGHUP (129) for reboot, as reboot(2) does to a first
# process of a pid namespace.
here=$(dirname "$0")
(
	echo 0 >"$1/system/cgroup.procs"
	exec unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child \
		sh "$here/boot.sh" "$2" "$3" "$4"
) &
init=$!
echo 0 >"$1/keeper/cgroup.procs"
wait "$init"
echo $? >"$3/exit.new"
mv "$3/exit.new" "$3/exit"
