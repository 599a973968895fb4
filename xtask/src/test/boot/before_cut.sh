#!/bin/sh
# Containers in every state, and then the machine is gone from one instruction to the next: nothing is written out.
set -e
mkdir /image
cp -a /bin /lib /etc /image
mkdir /image/proc /image/sys /image/dev /image/tmp
run() { pipkin run -d --net none "$@"; }

run --name plain /image sh -c 'echo plain; exit 4'
run --name ended --durable -m 64m /image sh -c 'echo said; echo kept >/file; exit 3'
[ "$(pipkin wait plain ended)" = "4
3" ]
for policy in on-failure unless-stopped always; do
	run --name $policy --restart $policy /image sleep 1000
	run --name $policy-stopped --restart $policy /image sleep 1000
	pipkin stop -t 0 $policy-stopped
done
run --rm --name fleeting /image sleep 1000
# What came up to here is on the disk; from here on only what is durable by itself.
sync
run --name running --durable -l a=b /image sh -c 'while :; do echo tick; sleep 0.1; done'
run --name late --durable /image sh -c 'exit 5'
pipkin wait late
pipkin rename running survivor
run --name unsynced /image sleep 1000
[ "$(pipkin ps -q | wc -l)" = 6 ]
echo ready to be cut off
echo b >/proc/sysrq-trigger
