# bash completion for ring1's commands.  What can be completed is read from
# the command's own help, so that it is never out of date.
# shellcheck shell=bash
_ring1()
{
	local tool=$1 cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} help line
	COMPREPLY=()
	# --option=word comes as three words.
	[ "$cur" != = ] || cur=
	[ "$prev" != = ] || prev=${COMP_WORDS[COMP_CWORD - 2]}
	if [ "$COMP_CWORD" -eq 1 ] || [[ $COMP_CWORD -eq 2 && $prev == help ]]; then
		line='--help --version'
		[ "$COMP_CWORD" -eq 1 ] || line=
		mapfile -t COMPREPLY < <(compgen -W "$line $("$tool" --help 2>/dev/null |
			awk '/^  [a-z]/ { print $1 }')" -- "$cur")
		return
	fi
	help=$("$tool" "${COMP_WORDS[1]}" -h 2>/dev/null) || return
	line=$(grep -E -e "^ +(-., )?$prev(, --[a-z-]+)? [^ ]" <<<"$help" | head -n 1 |
		sed -E 's/^ +(-., )?--[a-z-]+ //')
	line=${line%% *}
	if [[ $line == *\|* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${line//|/ }" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(grep -oE '^ +(-., )?--[a-z-]+' <<<"$help" |
			grep -oE -e '--[a-z-]+')" -- "$cur")
	elif [ "$COMP_CWORD" -eq 2 ] && [[ $help =~ ^usage:\ [a-z]+\ [a-z]+\ ([a-z]+(\|[a-z]+)+) ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${BASH_REMATCH[1]//|/ }" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _ring1 vmrun vmdk
