#!/bin/sh
# podman of a user who is not root, in a service of the user's own systemd.
. "${CLIENT:-/client}/case.sh"

case_it_is_not_root() {
	says 'true pipkin systemd' podman info -f '{{.Host.Security.Rootless}} {{.Host.OCIRuntime.Name}} {{.Host.CgroupManager}}'
}
case_run_gives_output_and_status() {
	says hello run $IMAGE echo hello
	ends 7 run $IMAGE sh -c 'exit 7'
	ends 127 run $IMAGE nosuch
	holds '/dev/pts/0|/dev/console' run -t $IMAGE tty
}
case_ids_are_those_of_the_ranges() {
	says '0 1000 1 1 1000000 65536' run $IMAGE sh -c 'echo $(cat /proc/self/uid_map)'
	says 1000 stat -c %u "$HOME"
	says 0 run -v "$HOME:/v" $IMAGE stat -c %u /v
	says 1000 run --userns keep-id $IMAGE id -u
}
case_capabilities_filter_and_devices() {
	says 'CapEff:	0000000000000000' run --cap-drop all $IMAGE grep CapEff /proc/self/status
	says 'Seccomp:	2' run $IMAGE grep Seccomp: /proc/self/status
	run $IMAGE sh -c 'echo x >/dev/null && head -c 1 /dev/urandom >/dev/null' || fail 'its devices'
}
case_volumes_and_a_read_only_root() {
	mkdir -p "$HOME/volume" && echo here >"$HOME/volume/file"
	says here run -v "$HOME/volume:/v:ro" $IMAGE sh -c '! touch /v/x 2>/dev/null && cat /v/file'
	run --read-only --tmpfs /scratch:size=1m $IMAGE sh -c '! touch /x 2>/dev/null && touch /scratch/x' || fail tmpfs
}
case_exec_pause_and_stop() {
	start e $IMAGE sh -c "$WAIT"
	says out podman exec e echo out
	ends 9 podman exec e sh -c 'exit 9'
	says line sh -c 'echo line | podman exec -i e cat'
	podman pause e >/dev/null && podman unpause e >/dev/null || fail pause
	podman stop e >/dev/null || fail stop
	says 0 podman wait e
	gone e
}
case_limits_of_the_users_own_groups() {
	start l --memory 32m --pids-limit 50 $IMAGE sh -c "$WAIT"
	says '33554432 50' podman exec l sh -c 'cd /sys/fs/cgroup; echo $(cat memory.max pids.max)'
	holds '^0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-.*\.scope' \
		cat "/proc/$(podman inspect -f '{{.State.Pid}}' l)/cgroup"
	podman update --memory 16m l >/dev/null || fail update
	says 16777216 podman exec l cat /sys/fs/cgroup/memory.max
	holds ' l ' podman stats --no-stream l
	gone l
}
case_a_network_by_slirp() {
	holds 'tap0' podman run --rm --network slirp4netns $IMAGE ip -o address
}
case_a_pod() {
	podman pod create --name duo --network none >/dev/null || fail 'no pod'
	podman run -d --pod duo --name one $IMAGE sh -c "$WAIT" >/dev/null || fail one
	podman run -d --pod duo --name two $IMAGE sh -c "$WAIT" >/dev/null || fail two
	says "$(podman exec one readlink /proc/self/ns/net)" podman exec two readlink /proc/self/ns/net
	podman pod rm -f -t 0 duo >/dev/null || fail rm
}
case_nothing_is_left() {
	says '' podman ps -aq
	soon says '' systemctl --user list-units --no-legend --all 'libpod*'
}

"$1"
