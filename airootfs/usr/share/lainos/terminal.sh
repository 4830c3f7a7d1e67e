# A terminal window, of whichever terminal is installed: sh /usr/share/lainos/terminal.sh [-e CMD...]
# shellcheck shell=sh
for terminal in alacritty ${WAYLAND_DISPLAY:+foot} xterm; do
	if command -v "$terminal" >/dev/null 2>&1; then
		exec "$terminal" "$@"
	fi
done
echo 'no terminal is installed: pacman -S alacritty' >&2
exit 127
