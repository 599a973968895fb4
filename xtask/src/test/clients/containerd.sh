#!/bin/sh
# containerd, by its own client and its shim for runtimes like runc, with Pipkin's path as the runtime's name.
. "${CLIENT:-/client}/case.sh"

WITH='--runtime io.containerd.runc.v2 --runc-binary pipkin'
# start ID [OPTION...] -- COMMAND...
start() { ctr run $WITH -d "$@" >/dev/null || fail "no container: $*"; }
gone() {
	for id in "$@"; do
		ctr task rm -f "$id" >/dev/null 2>&1 || :
		ctr container rm "$id" || fail "cannot remove $id"
	done
}
status() { ctr task ls | awk -v id="$1" '$1 == id { print $3 }'; }
is() { [ "$(status "$1")" = "$2" ]; }

case_run_gives_output_and_status() {
	says hello ctr run $WITH --rm $IMAGE c1 echo hello
	ends 7 ctr run $WITH --rm $IMAGE c2 sh -c 'exit 7'
}
case_a_command_that_is_not_there() {
	holds 'nosuch.*not found' ctr run $WITH --rm $IMAGE c3 nosuch
	says '' ctr container ls -q
}
case_a_terminal() {
	holds '/dev/pts/|/dev/console' script -qec "ctr run $WITH --rm -t $IMAGE c4 tty" /dev/null
}
case_mounts_environment_and_a_read_only_root() {
	mkdir -p /tmp/volume && echo here >/tmp/volume/file
	says 'here v' ctr run $WITH --rm --read-only --env V=v \
		--mount type=bind,src=/tmp/volume,dst=/mnt,options=rbind:ro $IMAGE c5 \
		sh -c '! touch /x 2>/dev/null && ! touch /mnt/x 2>/dev/null && echo $(cat /mnt/file) $V'
}
case_exec() {
	start $IMAGE c6 sh -c "$WAIT"
	# Now and then the client loses what was printed, whatever the runtime.
	soon says out ctr task exec --exec-id e1 c6 echo out
	ends 9 ctr task exec --exec-id e2 c6 sh -c 'exit 9'
	soon says '1000 /tmp' ctr task exec --exec-id e3 --user 1000 --cwd /tmp c6 sh -c 'echo $(id -u) $(pwd)'
	holds '/dev/pts/' script -qec 'ctr task exec -t --exec-id e4 c6 tty' /dev/null
	gone c6
}
case_kill_and_status() {
	start $IMAGE c7 sh -c "$WAIT"
	is c7 RUNNING || fail "it is $(status c7)"
	ctr task kill -s TERM c7
	soon is c7 STOPPED
	gone c7
	start $IMAGE c8 sh -c "$WAIT"
	ctr task kill -s KILL --all c8
	soon is c8 STOPPED
	gone c8
}
case_pause_and_resume() {
	start $IMAGE c9 sh -c "$WAIT"
	ctr task pause c9 || fail pause
	is c9 PAUSED || fail "it is $(status c9)"
	ctr task resume c9 || fail resume
	is c9 RUNNING || fail "it is $(status c9)"
	gone c9
}
case_ps() {
	start $IMAGE c10 sh -c "$WAIT"
	holds '^[0-9]+' ctr task ps c10
	gone c10
}
case_metrics() {
	start --memory-limit 33554432 $IMAGE c11 sh -c "$WAIT"
	holds 'memory.usage_limit +33554432' ctr task metrics c11
	holds 'pids.current +[1-9]' ctr task metrics c11
	gone c11
}
case_limits_are_in_force() {
	start --memory-limit 33554432 --cpu-quota 50000 --cpu-period 100000 $IMAGE c12 sh -c "$WAIT"
	says '33554432 50000 100000' sh -c 'cd /sys/fs/cgroup/default/c12; echo $(cat memory.max cpu.max)'
	gone c12
}
case_a_limit_of_memory_kills() {
	ends 137 ctr run $WITH --rm --memory-limit 25165824 $IMAGE c13 sh -c 'tail /dev/zero'
}
case_seccomp_and_the_network_of_the_host() {
	says 'Seccomp:	2' ctr run $WITH --rm --seccomp $IMAGE c14 grep Seccomp: /proc/self/status
	says "$(readlink /proc/self/ns/net)" ctr run $WITH --rm --net-host $IMAGE c15 readlink /proc/self/ns/net
}
case_privileged() {
	ctr run $WITH --rm --privileged $IMAGE c16 sh -c 'mount -t tmpfs x /mnt' || fail 'not so privileged'
}
case_nothing_is_left() {
	says '' ctr container ls -q
	says '' find /sys/fs/cgroup -path '*default/c[0-9]*' -type d
}

"$1"
