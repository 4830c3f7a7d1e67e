# What the init scripts of protocol7-core share. openrc-run sources the scripts, and they source
# this: it has functions only and runs nothing by itself. See docs/services.md.
#
# shellcheck shell=sh
# shellcheck disable=SC2034 # openrc-run reads what is set here

# Set the variables of a supervised daemon: a crash is mended five times within a minute, and then
# it is for a person to look at. A service that needs other figures sets them before.
lainos_supervise()
{
	supervisor=supervise-daemon
	pidfile=/run/supervise-$RC_SVCNAME.pid
	: "${respawn_delay:=1}" "${respawn_max:=5}" "${respawn_period:=60}"
	: "${retry:=SIGTERM/10/SIGKILL/5}"
	# Where the daemon may say how it is, and what it finds there; see docs/notifyd.md.
	export NOTIFY_SOCKET=/run/systemd/notify
	[ -z "${lainos_watchdog_sec:-}" ] || export WATCHDOG_USEC="${lainos_watchdog_sec}000000"
	[ -z "${lainos_fdstore_max:-}" ] || export FDSTORE="$lainos_fdstore_max"
}

# Have OpenRC wait for a newline on a descriptor of the daemon, if lainos_notify=yes in conf.d.
#
# OpenRC has notify=fd:N from 0.62 on. But its supervisor has closed the descriptor by the time it
# has to start a daemon for the second time, and gives the daemon up then: seen with 0.62.10 and
# 0.63.3. A crash for ever is worse than a start that looks every tenth of a second, so it is not
# the default. All services wait in start_post in any case, which is right with every version.
#
# $1: the descriptor. Succeeds if the daemon is to write to it.
lainos_notify_by()
{
	[ "${lainos_notify:-no}" = yes ] || return 1
	case ${RC_VERSION:-0.1} in
		0.[0-9] | 0.[0-9].* | 0.[1-5][0-9]* | 0.6[01]*) return 1 ;;
	esac
	notify=fd:$1
}

# Print the first of the given files that can be executed; the last one where none can, so that the
# error message has a name in it. Arch and Debian keep daemons in different folders.
lainos_first()
{
	while [ "$#" -gt 1 ]; do
		[ ! -x "$1" ] || break
		shift
	done
	printf '%s\n' "$1"
}

# Succeeds if the daemon is there. $1: the package that brings it
lainos_installed()
{
	[ ! -x "$command" ] || return 0
	eerror "there is no $command: install $1, or rc-update delete $RC_SVCNAME"
	return 1
}

# Print what one of our executables is started by: the sandbox, unless lainos_sandbox=no in conf.d.
# $1: its name in /usr/libexec/lainos
lainos_sandboxed()
{
	case ${lainos_sandbox:-yes}:$1 in
		no:*)
			# A profile of AppArmor goes by the executable's path, and allows what the sandbox does.
			[ ! -e /sys/kernel/security/apparmor/.replace ] || ! command -v aa-exec >/dev/null ||
				printf 'aa-exec --profile=unconfined --'
			;;
		# Those that it has a profile for. alsactl, which lainos-audio-init starts, may run whatever
		# ALSA's configuration names.
		*:lainos-dbus-bridge | *:lainos-notifyd | *:lainos-ghost-units | *:lainos-net-init)
			# Before env's command, its environment.
			[ -z "${lainos_calls:-}" ] || printf 'LAINOS_CALLS=%s ' "$lainos_calls"
			[ "${lainos_landlock:-yes}" != no ] || printf 'LAINOS_LANDLOCK=no '
			printf '/usr/libexec/lainos/sandbox %s' "${1#lainos-}"
			;;
	esac
}

# Set command and command_args so that supervise-daemon runs one of our executables.
#
# It runs with an environment of our making: a compiled Bun program obeys BUN_OPTIONS,
# BUN_BE_BUN and others, and rc_env_allow in /etc/rc.conf may let those through to a service. env
# replaces itself with the program, so the supervised process is the program.
#
# $1: its name in /usr/libexec/lainos; the others: its arguments, without spaces in them
# Where lainos_notify_by has been called, --ready-fd is added to them.
lainos_command()
{
	lainos_executable="$(lainos_sandboxed "$1") /usr/libexec/lainos/$1"
	shift
	command=/usr/bin/env
	command_args="-i PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8${WATCHDOG_USEC:+ WATCHDOG_USEC=$WATCHDOG_USEC} $lainos_executable${notify:+ --ready-fd ${notify#fd:}} $*"
}

# Run one of our executables to its end, with the same clean environment.
# $1: its name; the others: its arguments
lainos_run()
{
	lainos_executable=/usr/libexec/lainos/$1
	shift
	# shellcheck disable=SC2086 # the sandbox and its profile, or nothing
	/usr/bin/env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8 ${lainos_by:-} \
		"$lainos_executable" "$@"
}

# The start of a service that is one run of one of our executables. What it has to say comes below
# the line that says whether it worked.
# $1: what it does, in words; $2: its name; the others: its arguments
lainos_oneshot()
{
	ebegin "$1"
	shift
	lainos_left=3
	while :; do
		lainos_said=$(lainos_by=$(lainos_sandboxed "$1") && lainos_run "$@" 2>&1)
		lainos_status=$?
		# Ended by a signal, such as of the kernel's when memory is short: that says nothing of the
		# work, which may be done twice.
		lainos_left=$((lainos_left - 1))
		if [ "$lainos_status" -le 128 ] || [ "$lainos_left" -le 0 ]; then
			break
		fi
	done
	eend "$lainos_status" "$1 failed"
	[ -z "$lainos_said" ] || printf '%s\n' "$lainos_said" | sed 's/^/   /'
	return "$lainos_status"
}

# Call this in start_pre: what the daemon writes goes to a log of its own. In the runlevel sysinit
# the root file system may still be read-only; then the log is in /run until the next start.
lainos_log()
{
	lainos_log_dir=/var/log/lainos
	if ! mkdir -p "$lainos_log_dir" 2>/dev/null || [ ! -w "$lainos_log_dir" ]; then
		lainos_log_dir=/run/lainos/log
		# Both are root's alone: supervise-daemon follows a link in the place of the file.
		checkpath --quiet --directory --mode 0755 --owner root:root /run/lainos || return 1
	fi
	checkpath --quiet --directory --mode 0750 --owner root:root "$lainos_log_dir" || return 1
	output_log=$lainos_log_dir/$RC_SVCNAME.log
	error_log=$output_log
}

# Wait until a condition holds: at most 15 seconds, and no longer than the daemon is supervised. A
# service that did not become usable is stopped: it must not count as started.
# $1: what is waited for, in words; the others: a command that succeeds once it is there
lainos_await()
{
	lainos_what=$1
	shift
	lainos_left=150
	while ! "$@"; do
		lainos_left=$((lainos_left - 1))
		if [ ! -e "$pidfile" ]; then
			lainos_why='it was started too often'
		elif [ "$lainos_left" -le 0 ]; then
			lainos_why='15 seconds have passed'
		else
			sleep 0.1
			continue
		fi
		eerror "$RC_SVCNAME: no $lainos_what, and $lainos_why${error_log:+: see $error_log}"
		supervise_stop
		return 1
	done
	lainos_await_ready
}

# With lainos_ready=notify in conf.d, wait until the daemon has said READY=1: 15 seconds, or
# lainos_ready_timeout, or longer if it asks for more time. One that does not is stopped.
lainos_await_ready()
{
	[ "${lainos_ready:-no}" = notify ] || return 0
	lainos_run lainos-notifyd wait "$RC_SVCNAME" --ready --timeout "${lainos_ready_timeout:-15}" &&
		return 0
	eerror "$RC_SVCNAME: lainos_ready=notify in conf.d, and no READY=1${error_log:+: see $error_log}"
	supervise_stop
	return 1
}

# A service that has something else to wait for defines its own, with lainos_await.
start_post()
{
	lainos_await_ready
}

# End what a stopped service has left in its cgroup: a supervisor that was killed leaves its daemon.
# Whoever stops it from in there, as its own child, is left alone. OpenRC removes the cgroup then.
#
# OpenRC 0.63 and later put this shell into that cgroup, whoever stops the service; where openrc-run
# is, which has started it, is where it was stopped from.
lainos_end_rest()
{
	lainos_root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
	for lainos_cgroup in "/$RC_SVCNAME" "/openrc.$RC_SVCNAME"; do
		! grep -qsxF "0::$lainos_cgroup" "/proc/$PPID/cgroup" || continue
		lainos_leave_cgroup "$lainos_cgroup" || continue
		lainos_left=50
		while [ "$lainos_left" -gt 0 ] &&
			grep -qsx 'populated 1' "$lainos_root$lainos_cgroup/cgroup.events"; do
			echo 1 2>/dev/null >"$lainos_root$lainos_cgroup/cgroup.kill"
			lainos_left=$((lainos_left - 1))
			sleep 0.1
		done
	done
	return 0
}

# Move this shell, if it is in a cgroup of cgroup2, to where openrc-run is. $1: the cgroup
lainos_leave_cgroup()
{
	grep -qsxF "0::$1" /proc/self/cgroup || return 0
	lainos_from=$(sed -n 's/^0:://p' "/proc/$PPID/cgroup")
	echo $$ >"$lainos_root$lainos_from/cgroup.procs" && return 0
	ewarn "$RC_SVCNAME: what it has left in its cgroup $1 stays, since this shell cannot leave it"
	return 1
}

# Remove the sockets of a stopped service that nobody listens at: a daemon that was killed leaves its own,
# and they stay if the next one is stopped before it has taken them over. A service names them in
# lainos_sockets, by patterns of sh.
lainos_remove_sockets()
{
	for lainos_socket in ${lainos_sockets:-}; do
		[ -S "$lainos_socket" ] || continue
		grep -qsF " $lainos_socket" /proc/net/unix || rm -f "$lainos_socket"
	done
}

# Remove what the sandbox of a stopped service had for a moment, where it was killed in that moment.
lainos_remove_pipes()
{
	rm -rf "/run/lainos-outside.${RC_SVCNAME#lainos-}."*
}

# A service that has more to remove defines its own, with these three.
stop_post()
{
	lainos_end_rest
	lainos_remove_sockets
	lainos_remove_pipes
}

# What OpenRC knows of a service, and below it what the daemon says of itself.
status()
{
	default_status
	lainos_status=$?
	# What is in the file is of now only while somebody writes it.
	# It is in a directory of the daemon's own: neither a fifo nor a link in its place is opened.
	if lainos_has_socket /run/systemd/notify &&
		dd iflag=nofollow,nonblock bs=64k count=64 if=/run/lainos/notify/state.json 2>/dev/null |
			grep -qsF "\"service\":\"$RC_SVCNAME\""; then
		lainos_run lainos-notifyd status "$RC_SVCNAME" | sed 's/^/   /'
	fi
	return "$lainos_status"
}

# The process that supervise-daemon runs for this service, as it has noted it.
lainos_child()
{
	service_get_value child_pid
}

# Does our own process own this name on the system bus? Another's, such as one that was to be stopped
# and hangs, says nothing of the one that was started.
lainos_owns()
{
	lainos_owner=$(dbus-send --system --print-reply=literal --reply-timeout=2000 \
		--dest=org.freedesktop.DBus /org/freedesktop/DBus \
		org.freedesktop.DBus.GetConnectionUnixProcessID "string:$1" 2>/dev/null) || return 1
	lainos_pid=$(lainos_child)
	[ -n "$lainos_pid" ] && [ "${lainos_owner##* }" = "$lainos_pid" ]
}

# Print what /proc says of a process: the clock tick at which it started, and its state. $1: its number
lainos_look()
{
	# Behind the name, which may have anything in it: the state, and 18 fields later the start.
	[ -n "$1" ] && sed -n 's/^.*) \([A-Z]\) \(\([^ ]* \)\{18\}\)\([0-9]*\) .*$/\4 \1/p' "/proc/$1/stat" 2>/dev/null
}

# A process that waits in the kernel for somebody, such as a FUSE server, cannot be ended, not even by
# SIGKILL. supervise-daemon says nothing of it; the next one takes its place on the bus and at sockets.
stop()
{
	lainos_old=$(lainos_child)
	lainos_was=$(lainos_look "$lainos_old")
	default_stop || return
	lainos_is=$(lainos_look "$lainos_old")
	if [ -n "$lainos_was" ] && [ "${lainos_is% *}" = "${lainos_was% *}" ]; then
		eerror "$RC_SVCNAME: process $lainos_old has not ended (state ${lainos_is##* }): it waits in the" \
			"kernel for somebody. A new start takes its place; /proc/$lainos_old/task/*/wchan says for what"
	fi
	return 0
}

# Is there a socket?
lainos_has_socket()
{
	[ -S "$1" ]
}
