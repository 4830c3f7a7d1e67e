# shellcheck shell=sh
# The root menu, as an Openbox pipe menu, so that it offers only what is installed.

has() {
	command -v "$1" >/dev/null 2>&1
}

# item LABEL COMMAND
item() {
	printf '<item label="%s"><action name="Execute"><command>%s</command></action></item>\n' "$1" "$2"
}

echo '<?xml version="1.0" encoding="UTF-8"?>'
echo '<openbox_pipe_menu>'
echo '<separator label="LainOS layer 02"/>'
item Terminal 'sh /usr/share/lainos/terminal.sh'
for files in thunar pcmanfm-qt pcmanfm dolphin nautilus nemo; do
	if has "$files"; then
		item Files "$files"
		break
	fi
done
echo '<menu id="applications"/>'
echo '<menu id="client-list-combined-menu"/>'
echo '<separator/>'
if has calamares; then
	item 'Install LainOS' calamares_polkit
	echo '<separator/>'
fi
if has loginctl; then
	# As autostart does: not on the live medium, whose user has no password to unlock it with.
	if has xss-lock && has i3lock && [ ! -d "${LAINOS_LIVE:-/run/initramfs/live}" ]; then
		item Lock 'loginctl lock-session'
	fi
	item Suspend 'loginctl suspend'
	item Restart 'loginctl reboot'
	item 'Power off' 'loginctl poweroff'
	echo '<separator/>'
fi
echo '<item label="Log out"><action name="Exit"><prompt>no</prompt></action></item>'
echo '</openbox_pipe_menu>'
