#!/bin/sh
# All engines one after another, in a machine whose PID 1 is Pipkin and whose root is read-only.
. "${CLIENT:-/client}/case.sh"
passed=0 failed=0

for folder in /var /root /home/u /etc/docker; do mount -t tmpfs -o mode=755 tmpfs $folder; done
mkdir -p /var/lib /var/tmp /var/log /run/user/1000
chmod 1777 /tmp /var/tmp
chown 1000:1000 /home/u /run/user/1000
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

podman load -q -i /client/alpine.tar || exit 1
run_cases /client/podman.sh

containerd --log-level error >/run/containerd.log 2>&1 &
soon ctr version
ctr image import /client/alpine.tar >/dev/null || exit 1
run_cases /client/containerd.sh

dockerd --add-runtime pipkin=/usr/bin/pipkin --containerd /run/containerd/containerd.sock --iptables=false --ip6tables=false --ip-masq=false >/run/dockerd.log 2>&1 &
soon docker version
docker load -q -i /client/alpine.tar || exit 1
run_cases /client/docker.sh

if [ $failed = 0 ]; then verdict=ok; else verdict=FAILED; fi
echo "test result: $verdict. $passed passed; $failed failed; 0 ignored; 0 measured; 0 filtered out"
[ $failed = 0 ]
