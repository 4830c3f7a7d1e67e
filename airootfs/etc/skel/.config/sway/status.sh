#!/bin/sh
# The bar: i3status-rs where it is installed; otherwise this script, which says the same with less.
# swaybar-protocol(7) is what it prints.

if command -v i3status-rs >/dev/null; then
	exec i3status-rs
fi

quiet='#8b809d'
text='#d6cfe0'
accent='#c678a8'
sys=${LAINOS_SYS:-/sys}
proc=${LAINOS_PROC:-/proc}

# block LABEL VALUE [COLOUR]: adds one to the line, after a comma where it is not the first.
block() {
	line="$line${line:+,}{\"full_text\":\"<span color='$quiet'>$1</span> $2 \",\"color\":\"${3:-$text}\",\"markup\":\"pango\",\"separator\":false,\"separator_block_width\":12}"
}

load() {
	read -r load rest <"$proc/loadavg" && block LOAD "$load"
}

memory() {
	total='' available=''
	while read -r name value rest; do
		case $name in
		MemTotal:) total=$value ;;
		MemAvailable:) available=$value ;;
		esac
	done <"$proc/meminfo"
	[ -n "$available" ] && block MEM "$(((total - available) * 100 / total))%"
}

network() {
	for link in "$sys"/class/net/*; do
		name=${link##*/}
		state=''
		[ -r "$link/operstate" ] && read -r state <"$link/operstate"
		if [ "$name" != lo ] && [ "$state" = up ]; then
			block NET "$name"
			return
		fi
	done
	block NET down
}

battery() {
	for supply in "$sys"/class/power_supply/BAT*; do
		[ -r "$supply/capacity" ] || continue
		read -r percent <"$supply/capacity"
		read -r state <"$supply/status"
		case $state in
		Charging) block CHG "$percent%" ;;
		*) if [ "$percent" -lt 15 ]; then block BAT "$percent%" "$accent"; else block BAT "$percent%"; fi ;;
		esac
	done
}

echo '{"version":1}'
echo '['
while now=$(date '+%a %d %b %H:%M'); do
	line=''
	[ -n "${XDG_SESSION_ID:-}" ] && block SESSION "$XDG_SESSION_ID"
	load
	memory
	network
	battery
	block TIME "$now"
	# The reader is gone where this fails, and so is the bar.
	printf '[%s],\n' "$line" || exit
	sleep 5
done
