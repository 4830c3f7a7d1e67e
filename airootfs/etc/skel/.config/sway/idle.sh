# shellcheck shell=sh
# Turns the screen off after ten minutes without input, where swayidle is installed. It locks it too
# where swaylock is, but not on the live medium, whose user has no password to unlock it with.

command -v swayidle >/dev/null || exit 0

off='swaymsg "output * power off"'
on='swaymsg "output * power on"'
lock='swaylock -f'

# Where dracut has mounted the medium that the system runs from.
if [ -d "${LAINOS_LIVE:-/run/initramfs/live}" ] || ! command -v swaylock >/dev/null; then
	exec swayidle -w timeout 600 "$off" resume "$on"
fi
exec swayidle -w timeout 600 "$lock" timeout 630 "$off" resume "$on" \
	before-sleep "$lock" lock "$lock"
