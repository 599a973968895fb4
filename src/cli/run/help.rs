//! Help of `run`, and by that the table of its options.

/// The text; its form is told in [`help`](super::super::help).
pub(in super::super) const RUN: &str = "\
Usage: pipkin run [OPTIONS] IMAGE [COMMAND [ARGUMENT ...]]

Runs a command in a new container. IMAGE is a name in the store, a directory
that holds a root file system (/path, ./path), or scratch: a root that holds
nothing but /pipkin. Options end at IMAGE; the command follows, as it stands.
Ends with the status of the command; 128+n when signal n killed it, 126 when it
could not be executed, 127 when it was not found, 125 when Pipkin failed.

Container:
      --name NAME                  its name
      --cidfile FILE               write its id to a file, which must be new
      --rm                         remove it when it has ended
      --durable                    write what is known of it to the disk at once:
                                   a power cut loses nothing of it
  -d, --detach                     run it in the background, print its id
  -l, --label NAME[=VALUE]         note this with it
      --restart POLICY             start it again: no, on-failure[:N], always or
                                   unless-stopped; with growing pauses
      --stop-signal SIGNAL         what asks it to end [TERM]
      --stop-timeout SECONDS       how long it may take after that [10]
      --timeout TIME               how long it may run: 90s, 10m, 2h; then it is
                                   stopped as by stop [0: for ever]
      --die-with-parent            kill it when whoever started Pipkin has ended
      --new-session                put it into a session of its own; it always is
      --health-cmd LINE            run this in it now and then: 0 is healthy
      --health-interval TIME       how often [30s]
      --health-timeout TIME        how long it may take [30s]
      --health-retries NUMBER      how many failures in a row are too many [3]
      --health-start-period TIME   how long failures do not count at first [0]
      --log-max-size SIZE          when a new log file is begun [10m]
      --log-max-files NUMBER       how many log files are kept [3]
  -h, --hostname NAME              host name; the container's id if not given
      --domainname NAME            NIS domain name
      --dry-run                    tell what would be done, and do nothing
      --json                       with --dry-run: as JSON

Process:
  -e, --env NAME[=VALUE]           set a variable, or pass on the caller's
      --env-file FILE              set variables from lines of NAME[=VALUE]
  -w, --workdir DIRECTORY          start in this directory
  -u, --user USER[:GROUP]          run as this user of the image, or number
      --group-add GROUP            a further group, by name or number
      --entrypoint PROGRAM         run this, with COMMAND as its arguments
      --init                       put an init in front of it as process 1
  -i, --interactive                let it read Pipkin's standard input
  -t, --tty                        give it a terminal
      --ulimit NAME=SOFT[:HARD]    limit of the process, as nofile=1024
      --oom-score-adj NUMBER       -1000 (never killed) to 1000 (killed first)
      --preserve-fds NUMBER        pass on so many descriptors from 3 on

Resources; SIZE is in bytes or ends in k, m or g:
  -m, --memory SIZE                most memory
      --swap, --memory-swap SIZE   most memory and swap together; -1: any swap
      --memory-reservation SIZE    memory that is spared when others need some
      --oom-group                  out of memory kills the container as a whole
      --cpu, --cpus NUMBER         most CPU time, in CPUs: 0.5
      --cpu-quota US               the same in microseconds of each period
      --cpu-period US              length of a period [100000]
      --cpu-weight NUMBER          share of contended CPU time, 1 to 10000
  -c, --cpu-shares NUMBER          the same as docker has it, 2 to 262144
      --cpuset-cpus LIST           CPUs to run on: 0-3,8
      --cpuset-mems LIST           memory nodes to use
      --pids, --pids-limit NUMBER  most processes and threads; -1: any number
      --io-weight NUMBER           share of contended disk time, 1 to 10000
      --device-read-bps DEV:SIZE   most bytes read from a disk per second
      --device-write-bps DEV:SIZE  most bytes written
      --device-read-iops DEV:N     most reads per second
      --device-write-iops DEV:N    most writes

Files:
  -v, --volume SRC:DST[:OPTIONS]   show a file or directory of the host, or a
                                   volume by its name: ro, rw, noexec, nosuid,
                                   nodev, idmap, rslave ...
      --mount KEY=VALUE,...        type=bind,src=,dst=,ro, or type=volume, or
                                   type=tmpfs,dst=,size=,mode=
      --tmpfs DST[:OPTIONS]        file system in memory: size= [10% of it],
                                   mode=, exec ...
      --shm-size SIZE              most in /dev/shm [64m]
      --read-only                  make the root read-only
      --layer DIRECTORY            lay this over the image; the last is on top
      --ephemeral                  keep changes of the root in memory
      --device HOST[:INSIDE]       give it a device of the host; :r or :w behind
                                   it: only to read or to write

Network; --net again for a second bridge, then --ip and so on again for it:
      --net, --network MODE        bridge or the name of one, none, host, pasta
                                   (without root), container:NAME or ns:PATH
      --bridge NAME                the bridge to use; pipkin0 if not given
      --subnet ADDRESS/BITS        its subnet, as 192.168.1.0/24
      --ip ADDRESS                 IPv4 address of the container
      --ip6 ADDRESS                IPv6 address
      --mac-address, --mac ADDRESS  Ethernet address
  -p, --publish [IP:]HOST:INSIDE   let a port of the host lead to it; 80:8080,
                                   8000-8009:80-89/udp; 80: any that is free
      --network-alias NAME         one more name to be found by
      --dns ADDRESS                resolver to ask for names
      --dns-search DOMAIN          where names are looked for
      --dns-opt, --dns-option OPTION  option of resolv.conf, as ndots:2
      --add-host NAME:ADDRESS      a name it shall know; host-gateway: the host's
                                   address on its bridge

Isolation:
      --pid MODE                   private, host, container:NAME or ns:PATH
      --ipc MODE                   private, host (with its /dev/shm),
                                   container:NAME or ns:PATH
      --uts MODE                   private, host or ns:PATH
      --cgroupns MODE              private, host or ns:PATH
      --time-ns                    clocks of its own
      --userns MODE                host, keep-id, or auto: root inside is you
                                   outside, or nobody when you are root
      --uidmap IN:OUT:COUNT        user ids of a user namespace
      --gidmap IN:OUT:COUNT        group ids; as --uidmap if not given
      --cap-add NAME               give a capability, or ALL that Pipkin has
      --cap-drop NAME              take one away, or ALL
      --security-opt OPTION        no-new-privileges=false; seccomp=FILE or
                                   =unconfined instead of the default filter;
                                   landlock=ro:/,rw:/work: no other paths;
                                   apparmor=PROFILE; label=type:TYPE (SELinux);
                                   securebits=noroot,no-setuid-fixup,
                                   no-cap-ambient-raise, each with its lock;
                                   systempaths=unconfined: /proc and /sys whole
      --sysctl NAME=VALUE          kernel parameter of its own namespaces

      --help                       show this help";
