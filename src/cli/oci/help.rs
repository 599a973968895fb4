//! Help of the OCI runtime's verbs. As in [`crate::cli::help`] these texts are the tables of options.

/// The global options, which stand before the verb.
pub(super) const GLOBAL: &str = "\
Usage: pipkin [OPTIONS] VERB [OPTIONS] ...

The OCI runtime interface, for engines. Verbs: create start state kill delete run
exec list ps pause resume update events features spec.

Options:
      --root DIR              where containers are kept [/run/pipkin/oci]
      --log FILE              append errors to FILE
      --log-format FORMAT     as text or json [text]
      --log-level LEVEL       taken, and ignored
      --debug                 taken, and ignored
      --systemd-cgroup        make cgroups by systemd
      --cgroup-manager NAME   cgroupfs, systemd or disabled [cgroupfs]
      --rootless WHEN         taken, and ignored
      --criu PATH             taken, and ignored
  -v, --version               show the version
  -h, --help                  show this help";

/// Options of `create` and `run`.
pub(super) const CREATE: &str = "\
Usage: pipkin create|run [OPTIONS] ID

Makes a container from a bundle; run also starts it and waits for its end.

Options:
  -b, --bundle DIR            the directory of config.json [.]
      --pid-file FILE         write the process's pid there
      --console-socket PATH   send the terminal's master to this socket
      --pidfd-socket PATH     send the process's pidfd to this socket
      --preserve-fds N        pass on N descriptors from 3 on
      --no-pivot              refused: the root is always exchanged
      --no-new-keyring        keep the caller's session keyring
      --no-subreaper          taken, and ignored
      --keep                  run: keep the container when it has ended
  -d, --detach                run: do not wait
  -h, --help                  show this help";

/// Options of `exec`.
pub(super) const EXEC: &str = "\
Usage: pipkin exec [OPTIONS] ID [COMMAND [ARGUMENT ...]]

Runs a further process in a container.

Options:
  -p, --process FILE          the process, as in config.json
  -d, --detach                do not wait for its end
      --pid-file FILE         write its pid there
      --console-socket PATH   send the terminal's master to this socket
      --pidfd-socket PATH     send its pidfd to this socket
      --cwd DIR               its working directory
  -e, --env NAME=VALUE        a variable
  -u, --user UID[:GID]        its user and group
  -g, --additional-gids GID   a further group
  -c, --cap CAPABILITY        a further capability
      --no-new-privs          let no exec raise its rights
      --apparmor PROFILE      its AppArmor profile
      --process-label LABEL   its SELinux label
  -t, --tty                   give it a terminal
      --preserve-fds N        pass on N descriptors from 3 on
      --cgroup PATH           a group below the container's own to go into
      --ignore-paused         taken: a paused container is refused
  -h, --help                  show this help";

/// Options of `kill`.
pub(super) const KILL: &str = "\
Usage: pipkin kill [OPTIONS] ID [SIGNAL]

Options:
  -a, --all   every process of the container
  -h, --help  show this help";

/// Options of `delete`.
pub(super) const DELETE: &str = "\
Usage: pipkin delete [OPTIONS] ID

Options:
  -f, --force  kill it first; one that does not exist is no error
  -h, --help   show this help";

/// Options of `list`.
pub(super) const LIST: &str = "\
Usage: pipkin list [OPTIONS]

Options:
  -f, --format FORMAT  table or json [table]
  -q, --quiet          only the ids
  -h, --help           show this help";

/// Options of `ps`.
pub(super) const PS: &str = "\
Usage: pipkin ps [OPTIONS] ID [OPTIONS OF ps(1), only with json, where they change nothing]

Options:
  -f, --format FORMAT  table or json [table]
  -h, --help           show this help";

/// Options of `update`.
pub(super) const UPDATE: &str = "\
Usage: pipkin update [OPTIONS] ID

Changes limits; those that are not given stay. When one cannot be set, none is.

Options:
  -r, --resources FILE        all of them, as in config.json; - is standard input
      --memory SIZE           most memory; -1: any
      --memory-reservation SIZE  memory that is spared when others need some
      --memory-swap SIZE      most memory and swap together; -1: any swap
      --kernel-memory SIZE    refused: of cgroup v1
      --cpu-period US         length of a period of CPU time
      --cpu-quota US          CPU time in each; -1: any
      --cpu-burst US          CPU time that may be saved up
      --cpu-share NUMBER      share of contended CPU time, 2 to 262144
      --cpu-idle NUMBER       1: only CPU time that nobody else wants
      --cpu-rt-period US      refused: of cgroup v1
      --cpu-rt-runtime US     refused: of cgroup v1
      --cpuset-cpus LIST      CPUs to run on
      --cpuset-mems LIST      memory nodes to use
      --blkio-weight NUMBER   share of contended disk time, 10 to 1000
      --pids-limit NUMBER     most processes; -1: any
  -h, --help                  show this help";

/// Options of `events`.
pub(super) const EVENTS: &str = "\
Usage: pipkin events [OPTIONS] ID

Tells, as JSON, what a container uses and when it lacked memory, until it ends.

Options:
      --interval TIME  how often what it uses is told [5s]
      --stats          tell it once
  -h, --help           show this help";

/// Options of verbs that have none.
pub(super) const PLAIN: &str = "\
Usage: pipkin start|state|pause|resume|features ID

Options:
  -h, --help  show this help";

/// Options of `spec`.
pub(super) const SPEC: &str = "\
Usage: pipkin spec [OPTIONS]

Options:
  -b, --bundle DIR  where to write config.json [.]
      --rootless    for a user without root's rights
  -h, --help        show this help";
