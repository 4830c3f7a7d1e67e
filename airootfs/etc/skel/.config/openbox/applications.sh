# shellcheck shell=sh
# The menu of the installed programs, as an Openbox pipe menu: one item for each desktop entry that is
# meant to be seen (freedesktop.org, Desktop Entry Specification 1.5).

terminal='sh /usr/share/lainos/terminal.sh -e'

escape() {
	printf '%s' "$1" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/"/\&quot;/g'
}

# entry FILE: prints "name<tab>command" of what is to be shown.
entry() {
	awk -F= -v terminal="$terminal" '
		/^\[/ { inside = ($0 == "[Desktop Entry]") }
		inside && /^[A-Za-z]+ *=/ {
			key = $1
			sub(/ +$/, "", key)
			value = substr($0, index($0, "=") + 1)
			sub(/^ +/, "", value)
			if (!(key in found)) found[key] = value
		}
		END {
			if (found["Type"] != "Application" || found["Exec"] == "" || found["Name"] == "") exit
			if (found["NoDisplay"] == "true" || found["Hidden"] == "true") exit
			if ("OnlyShowIn" in found && found["OnlyShowIn"] !~ /(^|;)Openbox(;|$)/) exit
			if (found["NotShowIn"] ~ /(^|;)Openbox(;|$)/) exit
			if (found["TryExec"] != "" && system("command -v -- " quoted(found["TryExec"]) " >/dev/null 2>&1") != 0) exit
			command = found["Exec"]
			gsub(/%[fFuUdDnNickvm]/, "", command)
			gsub(/%%/, "%", command)
			sub(/ +$/, "", command)
			if (found["Terminal"] == "true") command = terminal " " command
			print found["Name"] "\t" command
		}
		function quoted(word) {
			gsub(/\047/, "\047\\\047\047", word)
			return "\047" word "\047"
		}
	' "$1"
}

echo '<?xml version="1.0" encoding="UTF-8"?>'
echo '<openbox_pipe_menu>'
data=${XDG_DATA_HOME:-$HOME/.local/share}:${XDG_DATA_DIRS:-/usr/local/share:/usr/share}
printf '%s\n' "$data" | tr ':' '\n' | while read -r folder; do
	for file in "$folder"/applications/*.desktop; do
		# The first of a name hides those after it.
		[ -r "$file" ] && printf '%s\t%s\n' "${file##*/}" "$file"
	done
done | awk -F '\t' '!seen[$1]++ { print $2 }' | while read -r file; do
	entry "$file"
done | sort -f | while IFS="$(printf '\t')" read -r name command; do
	printf '<item label="%s"><action name="Execute"><command>%s</command></action></item>\n' \
		"$(escape "$name")" "$(escape "$command")"
done
echo '</openbox_pipe_menu>'
