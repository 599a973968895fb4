#!/bin/sh
# What a machine is like whose root has a PID 1 of its own, and its end on order.
passed=0 failed=0
check() {
	name=$1
	shift
	if "$@"; then
		passed=$((passed + 1)) verdict=ok
	else
		failed=$((failed + 1)) verdict=FAILED
	fi
	echo "test boot::$name ... $verdict"
}

holds() { grep -q "$1" "$2"; }
seeded() { [ "$(wc -c </var/lib/pipkin/seed)" = 512 ] && ! grep -q ssss /var/lib/pipkin/seed; }
own_name() { ping -c 1 -W 1 "$(hostname)"; }

check another_program_takes_over_and_has_the_mounts [ "$(cat /run-by)" = 'own=1 given=1' ]
check a_root_is_mounted_as_asked holds ' / ext4 rw' /proc/mounts
check a_second_boot_mounts_nothing_twice [ "$(cut -d' ' -f2 /proc/mounts | sort | uniq -d)" = '' ]
check a_seed_is_used_once seeded
check a_machine_finds_itself_by_name own_name

if [ $failed = 0 ]; then verdict=ok; else verdict=FAILED; fi
echo "test result: $verdict. $passed passed; $failed failed; 0 ignored; 0 measured; 0 filtered out"

trap 'exit 7' TERM
kill -USR2 1
while :; do sleep 1; done
