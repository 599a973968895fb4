#!/bin/sh
# podman and dockerd on a machine of systemd's, which makes the cgroups that Pipkin asks it for.
. "${CLIENT:-/client}/case.sh"

podman() { command podman --cgroup-manager systemd "$@"; }
scope() { echo "libpod-$(podman inspect -f '{{.Id}}' "$1").scope"; }
property() { systemctl show -P "$2" "$(scope "$1")"; }

case_a_scope_holds_the_container() {
	start s $IMAGE sh -c "$WAIT"
	unit=$(scope s)
	says active systemctl is-active "$unit"
	holds '^0::/machine.slice/libpod-.*\.scope' cat "/proc/$(podman inspect -f '{{.State.Pid}}' s)/cgroup"
	says yes property s Delegate
	says out podman exec s echo out
	podman stop -t 1 s >/dev/null || fail stop
	soon says inactive sh -c "systemctl is-active $unit || :"
	gone s
}
case_limits_are_properties() {
	start l --memory 32m --memory-swap 32m --cpus 0.5 --pids-limit 50 $IMAGE sh -c "$WAIT"
	says '33554432 0 50000 100000 50' podman exec l sh -c 'cd /sys/fs/cgroup; echo $(cat memory.max memory.swap.max cpu.max pids.max)'
	says 33554432 property l MemoryMax
	says 500ms property l CPUQuotaPerSecUSec
	says 50 property l TasksMax
	gone l
}
case_an_update_outlasts_a_reload() {
	start u --memory 64m $IMAGE sh -c "$WAIT"
	podman update --memory 32m --cpus 0.25 u >/dev/null || fail update
	says '33554432 250ms' sh -c "echo \$(systemctl show -P MemoryMax $(scope u)) \$(systemctl show -P CPUQuotaPerSecUSec $(scope u))"
	systemctl daemon-reload || fail reload
	says '33554432 25000 100000' podman exec u sh -c 'cd /sys/fs/cgroup; echo $(cat memory.max cpu.max)'
	gone u
}
case_pause_kill_and_wait() {
	start k $IMAGE sh -c "$WAIT"
	podman pause k >/dev/null || fail pause
	says paused podman inspect -f '{{.State.Status}}' k
	podman unpause k >/dev/null || fail unpause
	podman kill k >/dev/null
	says 137 podman wait k
	gone k
}
case_a_pod_shares_a_slice() {
	podman pod create --name duo --share net,ipc,uts --network none >/dev/null || fail 'no pod'
	podman run -d --pod duo --name one $IMAGE sh -c "$WAIT" >/dev/null || fail one
	podman run -d --pod duo --name two $IMAGE sh -c "$WAIT" >/dev/null || fail two
	says "$(podman exec one readlink /proc/self/ns/net)" podman exec two readlink /proc/self/ns/net
	holds '/machine.slice/machine-libpod_pod_[0-9a-f]*.slice/libpod-' cat "/proc/$(podman inspect -f '{{.State.Pid}}' one)/cgroup"
	podman pod rm -f -t 0 duo >/dev/null || fail rm
}
case_kube_play() {
	cat >/tmp/pod.yaml <<-END
		apiVersion: v1
		kind: Pod
		metadata: { name: kube }
		spec:
		  containers:
		  - name: main
		    image: $IMAGE
		    imagePullPolicy: Never
		    command: [sh, -c, 'echo said \$(id -u) \$V; $WAIT']
		    env: [{ name: V, value: v }]
		    resources: { limits: { memory: 32Mi, cpu: 500m } }
		    securityContext: { runAsUser: 1000, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
		    volumeMounts: [{ name: room, mountPath: /room }]
		  - name: side
		    image: $IMAGE
		    imagePullPolicy: Never
		    command: [sh, -c, '$WAIT']
		  volumes: [{ name: room, emptyDir: {} }]
	END
	podman kube play --network none /tmp/pod.yaml >/dev/null || fail 'not played'
	soon holds '^said 1000 v$' podman logs kube-main
	says '33554432 50000 100000' podman exec kube-main sh -c 'cd /sys/fs/cgroup; echo $(cat memory.max cpu.max)'
	says 'CapBnd:	0000000000000000' podman exec kube-main grep CapBnd /proc/self/status
	podman exec kube-main sh -c '! touch /x 2>/dev/null && test -d /room' || fail 'its root or its volume'
	says "$(podman exec kube-main readlink /proc/self/ns/net)" podman exec kube-side readlink /proc/self/ns/net
	podman kube down /tmp/pod.yaml >/dev/null || fail 'not taken down'
	says '' podman ps -aq
}
case_docker_by_systemd() {
	holds 'Cgroup Driver: systemd' docker info
	docker run -d --runtime pipkin --network none --security-opt apparmor=unconfined --name dd --memory 64m --memory-swap 64m $IMAGE sh -c "$WAIT" >/dev/null || fail 'no container'
	unit=docker-$(docker inspect -f '{{.Id}}' dd).scope
	says active systemctl is-active "$unit"
	says out docker exec dd echo out
	docker update --memory 32m --memory-swap 32m dd >/dev/null || fail update
	says 33554432 systemctl show -P MemoryMax "$unit"
	docker pause dd >/dev/null && docker unpause dd >/dev/null || fail pause
	docker rm -f dd >/dev/null || fail rm
	soon says inactive sh -c "systemctl is-active $unit || :"
}
case_nothing_is_left() {
	says '' podman ps -aq
	says '' docker ps -aq
	soon says '' systemctl list-units --no-legend --all 'libpod*' 'docker-*.scope'
}

"$1"
