#!/bin/sh
# agent.sh PORT
# Runs what comes in over a virtio port, one script a line, and answers with what became of it:
#     ID SCRIPT STDIN  ->  ID STATUS STDOUT STDERR      all but ID and STATUS in base64, "-" is none
set -u
folder=/run/machine-agent/${1##*.}
mkdir -p "$folder"
exec 3<>"/dev/virtio-ports/$1"
echo ready >&3
while :; do
	# The read fails while nobody is connected at the other end.
	read -r id script stdin <&3 || {
		sleep 0.2
		continue
	}
	printf %s "$script" | base64 -d >"$folder/script"
	: >"$folder/stdin"
	[ "$stdin" = - ] || printf %s "$stdin" | base64 -d >"$folder/stdin"
	sh "$folder/script" <"$folder/stdin" >"$folder/stdout" 2>"$folder/stderr" 3<&-
	status=$?
	printf '%s %s -%s -%s\n' "$id" "$status" \
		"$(base64 -w0 "$folder/stdout")" "$(base64 -w0 "$folder/stderr")" >&3
done
