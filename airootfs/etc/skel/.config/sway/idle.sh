# shellcheck shell=sh
# Turns the screen off after ten minutes without input, where swayidle is installed. It locks it too
# where swaylock is, but not on the live medium, whose user has no password to unlock it with.

command -v swayidle >/dev/null || exit 0

off='swaymsg "output * power off"'
on='swaymsg "output * power on"'
lock='swaylock -f'

# The session's idle hint is for login1 and those that ask it. swayidle 1.9 goes to the bus only for that,
# locking or sleep, and heeds inhibitors of idle only there.

# Where dracut has mounted the medium that the system runs from.
if [ -d "${LAINOS_LIVE:-/run/initramfs/live}" ] || ! command -v swaylock >/dev/null; then
	exec swayidle -w timeout 600 "$off" resume "$on" idlehint 600
fi
exec swayidle -w timeout 600 "$lock" timeout 630 "$off" resume "$on" idlehint 600 \
	before-sleep "$lock" lock "$lock"
