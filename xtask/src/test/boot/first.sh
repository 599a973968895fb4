#!/bin/sh
# What a machine is like whose initramfs made way for a squashfs.
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
kib() { awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo; }
freed() { [ "$(($(kib Unevictable) + $(kib Shmem)))" -lt 16000 ]; }
same_program() { cmp /proc/1/exe /usr/bin/pipkin; }
writable() { echo x >"$1/written" && [ -s "$1/written" ]; }
read_only() { ! touch "$1/written" 2>/dev/null; }
has_terminal() { [ "$(cut -d' ' -f7 /proc/$$/stat)" != 0 ]; }
has_address() { ip address show eth0 | grep -q 'inet 10.9.8.7/24 '; }
has_route() { ip route | grep -q '^default via 10.9.8.1 dev eth0'; }

check another_root_is_gone_to holds ' / squashfs ro' /proc/mounts
check an_initramfs_is_freed freed
check pid_1_is_still_pipkin same_program
check what_was_moved_is_mounted_once [ "$(grep -c ' /proc proc' /proc/mounts)" = 1 ]
check a_file_system_is_mounted writable /data
check its_options_are_heeded holds ' /data ext4 rw,nosuid,.*discard' /proc/mounts
check another_file_system_is_mounted [ "$(cat /fixed/file)" = here ]
check a_partition_of_an_mbr_goes_by_its_identifier holds '^/dev/vdc1 /fixed ' /proc/mounts
check a_partition_of_a_gpt_goes_by_its_identifier holds '^/dev/vdd1 /more ' /proc/mounts
check ro_is_heeded read_only /fixed
check a_read_only_root_has_a_place_to_write writable /tmp
check an_address_is_set has_address
check a_gateway_is_set has_route
check the_loopback_is_up ping -c 1 -W 1 127.0.0.1
check the_name_comes_with_the_address [ "$(hostname)" = boxy ]
check a_name_server_is_set_under_a_read_only_root holds '^nameserver 10.9.8.2$' /etc/resolv.conf
check a_clock_is_no_earlier_than_the_program [ "$(date +%Y)" -ge 2026 ]
check the_console_is_a_controlling_terminal has_terminal
check ctrl_alt_del_is_ours [ "$(cat /proc/sys/kernel/ctrl-alt-del)" = 0 ]
check variables_are_given [ "$GIVEN" = 'two words' ]

if [ $failed = 0 ]; then verdict=ok; else verdict=FAILED; fi
echo "test result: $verdict. $passed passed; $failed failed; 0 ignored; 0 measured; 0 filtered out"
exit $failed
