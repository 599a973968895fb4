//! The options of `run` as they were typed. What they mean is found out elsewhere.

use argh::FromArgs;

/// Run a command in a new container.
///
/// Every option may be given more than once: the last counts, where it is not a list. Names and order are those of
/// the help text.
#[derive(FromArgs, Debug)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(help_triggers("--help"))]
pub(super) struct Options {
    /// name of the container
    #[argh(option)]
    pub(super) name: Vec<String>,
    /// remove it when it has ended
    #[argh(switch)]
    pub(super) rm: bool,
    /// host name
    #[argh(option)]
    pub(super) hostname: Vec<String>,
    /// NIS domain name
    #[argh(option)]
    pub(super) domainname: Vec<String>,
    /// tell what would be done
    #[argh(switch)]
    pub(super) dry_run: bool,
    /// tell it as JSON
    #[argh(switch)]
    pub(super) json: bool,
    /// variables
    #[argh(option)]
    pub(super) env: Vec<String>,
    /// files of variables
    #[argh(option)]
    pub(super) env_file: Vec<String>,
    /// working directory
    #[argh(option)]
    pub(super) workdir: Vec<String>,
    /// user and group
    #[argh(option)]
    pub(super) user: Vec<String>,
    /// program in front of the command
    #[argh(option)]
    pub(super) entrypoint: Vec<String>,
    /// an init as process 1
    #[argh(switch)]
    pub(super) init: bool,
    /// standard input
    #[argh(switch)]
    pub(super) interactive: bool,
    /// a terminal
    #[argh(switch)]
    pub(super) tty: bool,
    /// limits of setrlimit(2)
    #[argh(option)]
    pub(super) ulimit: Vec<String>,
    /// order of out-of-memory kills
    #[argh(option)]
    pub(super) oom_score_adj: Vec<String>,
    /// most memory
    #[argh(option)]
    pub(super) memory: Vec<String>,
    /// most memory and swap
    #[argh(option)]
    pub(super) memory_swap: Vec<String>,
    /// memory spared by reclaim
    #[argh(option)]
    pub(super) memory_reservation: Vec<String>,
    /// out of memory kills all
    #[argh(switch)]
    pub(super) oom_group: bool,
    /// most CPU time
    #[argh(option)]
    pub(super) cpus: Vec<String>,
    /// share of CPU time
    #[argh(option)]
    pub(super) cpu_weight: Vec<String>,
    /// CPUs
    #[argh(option)]
    pub(super) cpuset_cpus: Vec<String>,
    /// memory nodes
    #[argh(option)]
    pub(super) cpuset_mems: Vec<String>,
    /// most processes
    #[argh(option)]
    pub(super) pids_limit: Vec<String>,
    /// share of disk time
    #[argh(option)]
    pub(super) io_weight: Vec<String>,
    /// bytes read per second
    #[argh(option)]
    pub(super) device_read_bps: Vec<String>,
    /// bytes written per second
    #[argh(option)]
    pub(super) device_write_bps: Vec<String>,
    /// reads per second
    #[argh(option)]
    pub(super) device_read_iops: Vec<String>,
    /// writes per second
    #[argh(option)]
    pub(super) device_write_iops: Vec<String>,
    /// binds
    #[argh(option)]
    pub(super) volume: Vec<String>,
    /// mounts by key and value
    #[argh(option)]
    pub(super) mount: Vec<String>,
    /// file systems in memory
    #[argh(option)]
    pub(super) tmpfs: Vec<String>,
    /// root is read-only
    #[argh(switch)]
    pub(super) read_only: bool,
    /// directories over the image
    #[argh(option)]
    pub(super) layer: Vec<String>,
    /// changes of the root in memory
    #[argh(switch)]
    pub(super) ephemeral: bool,
    /// devices of the host
    #[argh(option)]
    pub(super) device: Vec<String>,
    /// network namespace
    #[argh(option)]
    pub(super) network: Vec<String>,
    /// pid namespace
    #[argh(option)]
    pub(super) pid: Vec<String>,
    /// IPC namespace
    #[argh(option)]
    pub(super) ipc: Vec<String>,
    /// UTS namespace
    #[argh(option)]
    pub(super) uts: Vec<String>,
    /// cgroup namespace
    #[argh(option)]
    pub(super) cgroupns: Vec<String>,
    /// time namespace
    #[argh(switch)]
    pub(super) time_ns: bool,
    /// user namespace
    #[argh(option)]
    pub(super) userns: Vec<String>,
    /// map of user ids
    #[argh(option)]
    pub(super) uidmap: Vec<String>,
    /// map of group ids
    #[argh(option)]
    pub(super) gidmap: Vec<String>,
    /// capabilities given
    #[argh(option)]
    pub(super) cap_add: Vec<String>,
    /// capabilities taken away
    #[argh(option)]
    pub(super) cap_drop: Vec<String>,
    /// security options
    #[argh(option)]
    pub(super) security_opt: Vec<String>,
    /// kernel parameters
    #[argh(option)]
    pub(super) sysctl: Vec<String>,
}

impl Options {
    /// Takes what the sorter found; it lets nothing through that is not in the help text.
    ///
    /// # Errors
    /// The parser's own line, were the help text to promise an option that is not here.
    pub(super) fn new(typed: &[crate::cli::argv::Typed<'_>]) -> Result<Self, String> {
        let words: Vec<&str> =
            typed.iter().flat_map(|(name, value)| [Some(*name), *value]).flatten().collect();
        Self::from_args(&["run"], &words).map_err(|exit| exit.output.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::help::RUN;
    use super::Options;
    use crate::cli::argv;
    use argh::ArgsInfo as _;

    #[test]
    fn help_text_and_structure_name_the_same_options() {
        let mut told: Vec<(&str, bool)> = argv::options(RUN).filter(|(name, _)| *name != "--help").collect();
        let info = Options::get_args_info();
        let option = |flag: &argh::FlagInfo<'static>| (flag.long, flag.kind != argh::FlagInfoKind::Switch);
        let mut known: Vec<(&str, bool)> = info.flags.iter().map(option).collect();
        known.retain(|(name, _)| *name != "--help");
        told.sort_unstable();
        known.sort_unstable();
        assert_eq!(told, known);
        for (name, value) in told {
            let typed = (name, value.then_some("--x"));
            Options::new(&[typed, typed]).unwrap();
        }
    }
}
