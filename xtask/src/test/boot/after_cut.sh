#!/bin/sh
# What is known after a power cut, and that everything goes on.
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

fact() { pipkin inspect "$1" | sed -n "s/^ *\"$2\": \"\\{0,1\\}\\([^\",]*\\).*/\\1/p"; }
is() { [ "$(fact "$1" "$2")" = "$3" ]; }
logged() { [ "$(pipkin logs "$1")" = "$2" ]; }
lists_all() { pipkin ps -a >/tmp/list && ! grep -q ' running ' /tmp/list && [ "$(pipkin ps -q)" = '' ]; }
goes_on() { pipkin start survivor && is survivor State running && pipkin exec survivor true && pipkin stop -t 0 survivor; }
has_its_files() { pipkin start ended && [ "$(pipkin wait ended)" = 3 ] && logged ended 'said
said'; }
policies_are_heard() { pipkin start --boot >/tmp/started && [ "$(wc -l </tmp/started)" = 4 ] &&
	[ "$(for name in always always-stopped on-failure unless-stopped; do is $name State running || echo $name; done)" = '' ] &&
	is unless-stopped-stopped State exited && is on-failure-stopped State exited; }
nothing_is_left() { [ "$(ls /sys/fs/cgroup/pipkin 2>/dev/null | grep -c '^[0-9a-f]\{16\}$')" = 0 ] && ! grep -q /var/lib/pipkin /proc/mounts; }
layers_are_known() { for layer in /var/lib/pipkin/containers/*; do pipkin inspect "${layer##*/}" >/dev/null || return 1; done; }
all_can_be_removed() { pipkin rm -f $(pipkin ps -aq) && [ "$(ls /var/lib/pipkin/containers)" = '' ] && [ "$(pipkin ps -aq)" = '' ]; }

check after_a_power_cut_all_are_listed lists_all
check what_had_ended_is_known is ended ExitCode 3
check what_ended_last_is_known is late ExitCode 5
check what_was_not_durable_is_known_once_it_was_synced is plain ExitCode 4
check what_ran_has_ended is survivor State exited
check it_has_the_name_it_was_given is survivor a b
check nobody_saw_how_it_ended is survivor ExitCode null
check why_is_told is survivor Error 'the machine went down while it ran'
check logs_are_readable logged ended said
check a_log_cut_off_is_readable pipkin logs survivor
check what_was_to_go_is_gone [ "$(pipkin inspect fleeting 2>&1 >/dev/null | head -c 7)" = pipkin: ]
check every_layer_has_its_record layers_are_known
check nothing_of_them_is_left_elsewhere nothing_is_left
check one_that_was_cut_off_runs_again goes_on
check one_that_had_ended_runs_again has_its_files
check policies_have_theirs_started policies_are_heard
check a_new_one_runs pipkin run --rm --net none /image true
check every_one_can_be_removed all_can_be_removed

if [ $failed = 0 ]; then verdict=ok; else verdict=FAILED; fi
echo "test result: $verdict. $passed passed; $failed failed; 0 ignored; 0 measured; 0 filtered out"
exit $failed
