#!/bin/sh
# The bar's text: i3status-rs where it is installed, otherwise the session and the time.
if command -v i3status-rs >/dev/null; then
	exec i3status-rs
fi
while now=$(date '+%a %d %b  %H:%M'); do
	printf 'session %s on %s    %s \n' "${XDG_SESSION_ID:--}" "${XDG_SEAT:-no seat}" "$now"
	sleep 5
done
