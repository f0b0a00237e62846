#!/usr/bin/env bats
# Bash completes commands, options and choices from the help.
# shellcheck disable=SC2154
load helper

# completes EXPECTED WORD...: as if tab was pressed after the last WORD.  The first names
# the command.
completes() {
	run -0 bash -c '. share/completions/ring1.bash
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_ring1 "$0" && echo "${COMPREPLY[*]}"' "$(dirname "$VMRUN")/$2" "${@:2}"
	assert_output "$1"
}

@test "commands, options and choices" {
	completes '--help --version run disk disas' vmrun ''
	completes 'disk disas' vmrun d
	completes 'list add remove' vmrun disk ''
	completes '--append --allow-outside --accel' vmrun run --a
	completes 'auto kvm bt interp' vmrun run --accel ''
	completes interp vmrun run --memory 64M --accel i
	completes 'auto kvm bt interp' vmrun run --accel =
	completes interp vmrun run --accel = i
	completes '16 32 64' vmrun disas --bits ''
	completes 'delete diff' vmdk d
	completes 'delete diff' vmdk help d
	completes 'tty json' vmdk compact --progress ''
	completes '--allow-outside' vmdk info --allo
	completes 'thin' vmdk create --format t
	completes 'ide' vmdk create -a i
	completes 'create consolidate' vmdk snapshot c
}

@test "files" {
	completes README.md vmrun run --kernel READ
	completes README.md vmrun disas READ
}
