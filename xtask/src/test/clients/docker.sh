#!/bin/sh
# dockerd, whose configuration names Pipkin as a further runtime.
. "${CLIENT:-/client}/case.sh"

run() { docker run --rm --runtime pipkin --network none "$@"; }
start() {
	name=$1
	shift
	docker run -d --runtime pipkin --network none --name "$name" "$@" >/dev/null || fail "no container $name"
}
gone() { docker rm -f "$@" >/dev/null || fail "cannot remove $*"; }
state() { docker inspect -f '{{.State.Status}}' "$1"; }
is() { [ "$(state "$1")" = "$2" ]; }
logged() { docker logs "$1" 2>&1 | grep -q "$2"; }

case_knows_the_runtime() {
	holds 'Runtimes:.* pipkin' docker info
}
case_run_gives_output_and_status() {
	says hello run $IMAGE echo hello
	ends 7 run $IMAGE sh -c 'exit 7'
}
case_a_command_that_is_not_there() {
	ends 127 run $IMAGE nosuch
	ends 126 run $IMAGE /etc/passwd
	says '' docker ps -aq
}
case_a_terminal_and_standard_input() {
	holds '/dev/pts/0|/dev/console' run -t $IMAGE tty
	says line sh -c "echo line | docker run --rm -i --runtime pipkin --network none $IMAGE cat"
}
case_identity_environment_and_devices() {
	says 'v 1000 /tmp' run -e V=v -u 1000 -w /tmp $IMAGE sh -c 'echo $V $(id -u) $(pwd)'
	says 'CapEff:	0000000000000000' run --cap-drop all $IMAGE grep CapEff /proc/self/status
	says 'Seccomp:	2' run $IMAGE grep Seccomp: /proc/self/status
	run --device /dev/loop-control $IMAGE test -c /dev/loop-control || fail device
	says 123 run --ulimit nofile=123 $IMAGE sh -c 'ulimit -n'
}
case_volumes_tmpfs_and_a_read_only_root() {
	mkdir -p /tmp/volume && echo here >/tmp/volume/file
	says here run -v /tmp/volume:/v:ro $IMAGE sh -c '! touch /v/x 2>/dev/null && cat /v/file'
	run --read-only --tmpfs /scratch:size=1m $IMAGE sh -c '! touch /x 2>/dev/null && touch /scratch/x' || fail tmpfs
}
case_a_network_of_its_own() {
	holds 'eth0' docker run --rm --runtime pipkin $IMAGE ip -o address
	says "$(readlink /proc/self/ns/net)" docker run --rm --runtime pipkin --network host $IMAGE readlink /proc/self/ns/net
}
case_exec() {
	start entered $IMAGE sh -c "$WAIT"
	says out docker exec entered echo out
	ends 9 docker exec entered sh -c 'exit 9'
	says '1000 v /tmp' docker exec -u 1000 -e V=v -w /tmp entered sh -c 'echo $(id -u) $V $(pwd)'
	says line sh -c 'echo line | docker exec -i entered cat'
	docker exec -d entered touch /made
	soon docker exec entered test -e /made
	ends 126 docker exec entered nosuch
	gone entered
}
case_logs_top_and_cp() {
	start logging $IMAGE sh -c "echo one; $WAIT"
	soon logged logging one
	holds 'sleep|sh -c' docker top logging
	docker cp logging:/etc/alpine-release /tmp/out >/dev/null && [ -s /tmp/out ] || fail cp
	gone logging
}
case_kill_stop_and_restart() {
	start killed $IMAGE sh -c 'trap "echo got" USR1; trap "exit 5" TERM; echo ready; while :; do sleep 0.2; done'
	soon logged killed ready
	docker kill -s USR1 killed >/dev/null
	soon logged killed got
	docker stop killed >/dev/null
	says 5 docker wait killed
	docker restart -t 1 killed >/dev/null || fail restart
	soon is killed running
	gone killed
}
case_pause_and_unpause() {
	start paused $IMAGE sh -c "$WAIT"
	docker pause paused >/dev/null || fail pause
	is paused paused || fail "it is $(state paused)"
	docker unpause paused >/dev/null || fail unpause
	is paused running || fail "it is $(state paused)"
	gone paused
}
case_init() {
	holds 'docker-init' run --init $IMAGE cat /proc/1/cmdline
}
case_healthcheck() {
	start checked --health-cmd 'test -e /etc/passwd' --health-interval 1s $IMAGE sh -c "$WAIT"
	soon sh -c 'docker inspect -f "{{.State.Health.Status}}" checked | grep -qx healthy'
	gone checked
}
case_update_and_stats() {
	start updated --memory 64m --memory-swap 64m $IMAGE sh -c "$WAIT"
	holds '64MiB' docker stats --no-stream updated
	docker update --memory 32m --memory-swap 32m --cpus 0.25 --pids-limit 33 updated >/dev/null || fail update
	says '33554432 25000 100000 33' docker exec updated sh -c 'cd /sys/fs/cgroup; echo $(cat memory.max cpu.max pids.max)'
	gone updated
}
case_a_limit_of_memory_kills() {
	docker run --name grown --runtime pipkin --network none --memory 24m --memory-swap 24m $IMAGE sh -c 'tail /dev/zero' && fail 'it lives'
	says 'true 137' docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' grown
	gone grown
}
case_a_device_that_was_not_given_is_closed() {
	ends 1 run --cap-add MKNOD $IMAGE sh -c 'mknod /k c 10 237 && cat /k'
}
case_nothing_is_left() {
	says '' docker ps -aq
	says '' find /sys/fs/cgroup/docker -mindepth 1 -type d
}

"$1"
