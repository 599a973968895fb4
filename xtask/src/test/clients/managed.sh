#!/bin/sh
# Those of the engines that ask systemd for cgroups, in a machine whose PID 1 is systemd: started by it as a service.
. "${CLIENT:-/client}/case.sh"
passed=0 failed=0
ONLY=$(sed -n 's/.*pipkin\.env\.ONLY=\([^ ]*\).*/\1/p' /proc/cmdline)

for folder in /root /home/u /etc/docker; do mount -t tmpfs -o mode=755 tmpfs $folder; done
mkdir -p /var/lib /var/tmp /var/log
chmod 1777 /tmp /var/tmp
chown 1000:1000 /home/u
# As udev has it.
chmod 666 /dev/net/tun
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

command podman load -q -i /client/alpine.tar || exit 1
containerd --log-level error >/run/containerd.log 2>&1 &
soon ctr version
dockerd --add-runtime pipkin=/usr/bin/pipkin --containerd /run/containerd/containerd.sock --exec-opt native.cgroupdriver=systemd --iptables=false --ip6tables=false --ip-masq=false >/run/dockerd.log 2>&1 &
soon docker version
docker load -q -i /client/alpine.tar || exit 1
run_cases /client/systemd.sh

systemctl start user@1000.service || exit 1
AS='setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000 systemd-run --user --quiet --wait --pipe --collect --setenv=HOME=/home/u --setenv=STORAGE_DRIVER=vfs --setenv=CONTAINERS_CONF=/client/rootless.conf --working-directory=/home/u'
$AS podman load -q -i /client/alpine.tar || exit 1
RUN=$AS run_cases /client/rootless.sh

if [ $failed = 0 ]; then verdict=ok; else verdict=FAILED; fi
echo "test result: $verdict. $passed passed; $failed failed; 0 ignored; 0 measured; 0 filtered out"
[ $failed = 0 ]
