# What a login shell is to know of its session, where PAM has not put it into its environment: within
# somebody's session, as su -l and sudo -i make one, which take the environment away.
#
# /etc/profile sources this file into shells of all kinds (sh, bash, zsh's sh emulation) and with
# any options set, so it keeps to one function, leaves nothing behind, and never fails. The session
# is the one whose cgroup the shell is in; the file about it is read line by line and never
# sourced, and no program is started but `id`.
#
# shellcheck shell=sh

_lainos_session()
{
	# Positional parameters are the only local variables of POSIX sh.
	# 1: user id  2: session id  3: `ours` if the session is the user's
	set -- "$(id -u 2>/dev/null || :)" "" ""

	if [ -r /proc/self/cgroup ]; then
		while IFS= read -r _lainos_line || [ -n "$_lainos_line" ]; do
			case $_lainos_line in
				0::/*/session-*.scope | 0::/*/session-*.scope/*)
					_lainos_line=${_lainos_line##*/session-}
					set -- "$1" "${_lainos_line%%.scope*}" ""
					;;
			esac
		done </proc/self/cgroup
	fi

	case $2 in
		"" | *[!0-9A-Za-z]*) ;;
		*)
			# A session of somebody else, in which su or doas made a shell, is not ours to name.
			if [ -r "/run/systemd/sessions/$2" ]; then
				while IFS= read -r _lainos_line || [ -n "$_lainos_line" ]; do
					[ "$_lainos_line" != "UID=$1" ] || set -- "$1" "$2" ours
				done <"/run/systemd/sessions/$2"
			fi
			if [ "$3" = ours ]; then
				: "${XDG_SESSION_ID:=$2}"
				export XDG_SESSION_ID
				while IFS= read -r _lainos_line || [ -n "$_lainos_line" ]; do
					# A value with white space or quotes in it is none of these.
					case ${_lainos_line#*=} in
						"" | *[!0-9A-Za-z_.-]*) continue ;;
					esac
					case $_lainos_line in
						TYPE=*)
							: "${XDG_SESSION_TYPE:=${_lainos_line#*=}}"
							export XDG_SESSION_TYPE
							;;
						CLASS=*)
							: "${XDG_SESSION_CLASS:=${_lainos_line#*=}}"
							export XDG_SESSION_CLASS
							;;
						SEAT=*)
							: "${XDG_SEAT:=${_lainos_line#*=}}"
							export XDG_SEAT
							;;
						VTNR=*)
							: "${XDG_VTNR:=${_lainos_line#*=}}"
							export XDG_VTNR
							;;
					esac
				done <"/run/systemd/sessions/$2"
			fi
			;;
	esac

	# Only what is the caller's own: su without -l keeps the environment of the one who called it.
	if [ -n "$1" ] && [ -z "${XDG_RUNTIME_DIR:-}" ] && [ -d "/run/user/$1" ] &&
		[ -O "/run/user/$1" ]; then
		XDG_RUNTIME_DIR=/run/user/$1
		export XDG_RUNTIME_DIR
	fi
	if [ -z "${DBUS_SESSION_BUS_ADDRESS:-}" ] && [ -n "${XDG_RUNTIME_DIR:-}" ] &&
		[ -S "$XDG_RUNTIME_DIR/bus" ]; then
		DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus
		export DBUS_SESSION_BUS_ADDRESS
	fi
	return 0
}

_lainos_session
unset -f _lainos_session
unset -v _lainos_line
