#!/bin/sh
# podman with conmon.
. "${CLIENT:-/client}/case.sh"

running() { [ "$(podman inspect -f '{{.State.Status}}' "$1")" = "$2" ]; }
logged() { podman logs "$1" 2>&1 | grep -q "$2"; }

case_knows_the_runtime() {
	says pipkin podman info -f '{{.Host.OCIRuntime.Name}}'
	holds '^pipkin version [0-9]' podman info -f '{{.Host.OCIRuntime.Version}}'
}
case_run_gives_output_and_status() {
	says hello run $IMAGE echo hello
	ends 7 run $IMAGE sh -c 'exit 7'
	ends 137 run $IMAGE sh -c 'sh -c "kill -9 \$\$"; exit $?'
}
case_a_command_that_is_not_there() {
	ends 127 run $IMAGE nosuch
	ends 126 run $IMAGE /etc/passwd
	[ "$(podman ps -aq)" = '' ] || fail 'something is left'
}
case_standard_input_reaches_the_command() {
	says line sh -c "echo line | podman run --rm -i --network none $IMAGE cat"
}
case_a_terminal() {
	holds '/dev/pts/0|/dev/console' run -t $IMAGE tty
}
case_environment_user_and_directory() {
	says 'v 1000 1001 /tmp' run -e V=v -u 1000:1001 -w /tmp $IMAGE sh -c 'echo $V $(id -u) $(id -g) $(pwd)'
	holds ' 2000' run --group-add 2000 $IMAGE id -G
	says box run --hostname box $IMAGE hostname
}
case_capabilities_and_no_new_privileges() {
	says 'CapEff:	0000000000000000' run --cap-drop all $IMAGE grep CapEff /proc/self/status
	says 'CapEff:	0000000000002000' run --cap-drop all --cap-add net_raw $IMAGE grep CapEff /proc/self/status
	says 'NoNewPrivs:	1' run --security-opt no-new-privileges $IMAGE grep NoNewPrivs /proc/self/status
}
case_the_seccomp_profile_holds() {
	says 'Seccomp:	2' run $IMAGE grep Seccomp: /proc/self/status
	says 'Seccomp:	0' run --security-opt seccomp=unconfined $IMAGE grep Seccomp: /proc/self/status
}
case_privileged() {
	run --privileged $IMAGE sh -c 'mount -t tmpfs x /mnt && [ -e /dev/kmsg ]' || fail 'not so privileged'
}
case_volumes_tmpfs_and_a_read_only_root() {
	mkdir -p /tmp/volume && echo here >/tmp/volume/file
	says here run -v /tmp/volume:/v:ro $IMAGE sh -c '! touch /v/x 2>/dev/null && cat /v/file'
	run --tmpfs /scratch:size=1m,mode=1777 $IMAGE sh -c 'grep " /scratch tmpfs" /proc/mounts && touch /scratch/x' || fail tmpfs
	run --read-only $IMAGE sh -c '! touch /x 2>/dev/null && touch /tmp/x && touch /run/x' || fail 'read-only'
	podman volume create kept >/dev/null
	run -v kept:/etc $IMAGE test -e /etc/passwd || fail 'nothing copied up'
	podman volume rm kept >/dev/null
}
case_devices_ulimits_sysctls_and_shm() {
	run --device /dev/loop-control:/dev/given:r $IMAGE test -c /dev/given || fail device
	says 123 run --ulimit nofile=123:123 $IMAGE sh -c 'ulimit -n'
	says 7 run --sysctl kernel.msgmni=7 $IMAGE cat /proc/sys/kernel/msgmni
	holds '/dev/shm tmpfs .*size=2048k' run --shm-size 2m $IMAGE grep shm /proc/mounts
}
case_namespaces_of_the_host_and_of_another() {
	says "$(readlink /proc/self/ns/net)" podman run --rm --network host $IMAGE readlink /proc/self/ns/net
	holds "^ *$$\$" run --pid host $IMAGE ps -o pid
	says "$(readlink /proc/self/ns/ipc)" run --ipc host $IMAGE readlink /proc/self/ns/ipc
	says "$(uname -n)" run --uts host $IMAGE hostname
	start first $IMAGE sh -c "$WAIT"
	says "$(podman exec first readlink /proc/self/ns/net)" \
		podman run --rm --network container:first --pid container:first $IMAGE readlink /proc/self/ns/net
	gone first
}
case_exec() {
	start e $IMAGE sh -c "$WAIT"
	says out podman exec e echo out
	ends 9 podman exec e sh -c 'exit 9'
	says '1000 v /tmp' podman exec -u 1000 -e V=v -w /tmp e sh -c 'echo $(id -u) $V $(pwd)'
	says line sh -c 'echo line | podman exec -i e cat'
	holds '/dev/pts/' podman exec -t e tty
	podman exec -d e touch /made
	soon podman exec e test -e /made
	ends 127 podman exec e nosuch
	gone e
}
case_logs_top_and_inspect() {
	start l $IMAGE sh -c "echo one; echo two >&2; $WAIT"
	soon logged l two
	holds '^one$' podman logs l
	holds 'PID' podman top l
	holds 'sleep|sh -c' podman top l pid args
	running l running || fail 'not running'
	gone l
}
case_kill_stop_and_wait() {
	start k $IMAGE sh -c 'trap "echo got" USR1; trap "exit 5" TERM; echo ready; while :; do sleep 0.2; done'
	soon logged k ready
	podman kill -s USR1 k >/dev/null
	soon logged k got
	podman stop k >/dev/null
	says 5 podman wait k
	podman start k >/dev/null
	soon running k running
	podman kill k >/dev/null
	says 137 podman wait k
	gone k
}
case_pause_and_unpause() {
	start p $IMAGE sh -c "$WAIT"
	podman pause p >/dev/null || fail pause
	running p paused || fail 'not paused'
	podman unpause p >/dev/null || fail unpause
	running p running || fail 'not running'
	podman pause p >/dev/null
	gone p
}
case_cp() {
	start c $IMAGE sh -c "$WAIT"
	echo in >/tmp/in
	podman cp /tmp/in c:/tmp/in || fail 'cp in'
	says in podman exec c cat /tmp/in
	podman cp c:/etc/alpine-release /tmp/out || fail 'cp out'
	[ -s /tmp/out ] || fail 'nothing came out'
	gone c
}
case_init() {
	holds 'catatonit|podman-init' run --init $IMAGE cat /proc/1/cmdline
}
case_healthcheck() {
	start h --health-cmd 'test -e /tmp/well' --health-interval disable $IMAGE sh -c "$WAIT"
	ends 1 podman healthcheck run h
	podman exec h touch /tmp/well
	podman healthcheck run h || fail 'not healthy'
	gone h
}
case_user_namespace() {
	holds '^ *0 +100000 +1000$' run --uidmap 0:100000:1000 --gidmap 0:100000:1000 $IMAGE cat /proc/self/uid_map
	says '0 0' run --uidmap 0:100000:1000 $IMAGE stat -c '%u %g' /etc/passwd
	holds '^ *0 +[1-9][0-9]+ +[0-9]+$' run --userns auto $IMAGE cat /proc/self/uid_map
}
case_pod() {
	# Its own cgroup for a pod forbids every device, to any runtime, when podman makes it without systemd.
	podman pod create --name duo --share net,ipc,uts --share-parent=false --network none >/dev/null || fail 'no pod'
	podman run -d --pod duo --name one $IMAGE sh -c "$WAIT" >/dev/null || fail one
	podman run -d --pod duo --name two $IMAGE sh -c "$WAIT" >/dev/null || fail two
	says "$(podman exec one readlink /proc/self/ns/net)" podman exec two readlink /proc/self/ns/net
	podman pod pause duo >/dev/null && podman pod unpause duo >/dev/null || fail 'pause'
	holds Running podman pod ps
	podman pod stop -t 1 duo >/dev/null || fail stop
	podman pod rm -f duo >/dev/null || fail rm
}
case_pod_with_a_user_namespace() {
	podman pod create --name own --userns auto:size=1000 --share net,ipc,uts --share-parent=false --network none >/dev/null || fail 'no pod'
	podman run -d --pod own --name inner $IMAGE sh -c "$WAIT" >/dev/null || fail 'no container'
	infra=$(podman pod inspect -f '{{.InfraContainerID}}' own)
	first=$(podman inspect -f '{{.State.Pid}}' "$infra")
	says "$(readlink "/proc/$first/ns/user")" podman exec inner readlink /proc/self/ns/user
	says "$(readlink "/proc/$first/ns/net")" podman exec inner readlink /proc/self/ns/net
	holds '^ *0 +[1-9][0-9]+ +1000$' podman exec inner cat /proc/self/uid_map
	says own podman exec inner hostname
	podman pod rm -f -t 1 own >/dev/null || fail rm
}
case_restart_policy() {
	start r --restart on-failure:2 $IMAGE sh -c 'exit 3'
	soon running r exited
	says 2 podman inspect -f '{{.RestartCount}}' r
	gone r
}
case_commit_and_diff() {
	podman run --name changed --network none $IMAGE touch /new
	holds '^A /new' podman diff changed
	gone changed
}
case_a_limit_of_memory_kills() {
	# What conmon tells podman of it differs from machine to machine, with any runtime.
	ends 137 run --memory 24m --memory-swap 24m $IMAGE sh -c 'tail /dev/zero'
}
case_limits_are_seen_inside() {
	limits='cd /sys/fs/cgroup; echo $(cat memory.max pids.max cpu.max cpuset.cpus memory.low cpu.weight)'
	says '33554432 50 50000 100000 0 16777216 133' \
		run --memory 32m --memory-reservation 16m --pids-limit 50 --cpus 0.5 --cpuset-cpus 0 --cpu-shares 1500 $IMAGE sh -c "$limits"
}
case_update_and_stats() {
	start u --memory 64m $IMAGE sh -c "$WAIT"
	podman update --memory 32m --cpus 0.25 u >/dev/null || fail update
	says 33554432 podman exec u cat /sys/fs/cgroup/memory.max
	says '25000 100000' podman exec u cat /sys/fs/cgroup/cpu.max
	# It shows the limit that the container began with, with any runtime.
	holds ' u  .*67.11MB' podman stats --no-stream u
	gone u
}
case_nothing_is_left() {
	says '' podman ps -aq
	says '' find /sys/fs/cgroup -name 'libpod-*'
	says '' sh -c 'grep /merged /proc/mounts || :'
}

"$1"
