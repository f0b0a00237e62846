# Sourced by the lint scripts: project_files [GLOB...] lists the project's files,
# from git, or from the disk where the checkout is not this user's.
# shellcheck shell=bash
project_files() {
	local all
	all=$(git ls-files 2>/dev/null) ||
		all=$(find . -type f -not -path './.git/*' -not -path './build*' \
			-not -path './bin/*' | sed 's|^\./||')
	if [ $# -eq 0 ]; then
		printf '%s\n' "$all"
	else
		local f g
		while IFS= read -r f; do
			for g in "$@"; do
				# shellcheck disable=SC2053
				[[ $f == $g ]] && { printf '%s\n' "$f"; break; }
			done
		done <<<"$all"
	fi
}
