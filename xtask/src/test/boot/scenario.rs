//! Machines that boot from an unmodified Alpine as an initramfs, or from nothing but Pipkin: a person at the console,
//! what goes wrong, and every way to end.

use super::super::tally::Tally;
use super::{TIMEOUT, check, root};
use crate::build::{Arch, Face};
use crate::vm::{self, Tiny};
use anyhow::Result;
use rootfs_builder::tree::Tree;

/// What a machine is booted for, and what must come of it.
struct Scenario {
    name: &'static str,
    /// From nothing but the init alone, instead of Alpine.
    bare: bool,
    arguments: &'static str,
    typed: &'static [(&'static str, &'static str)],
    /// All of this is on the console.
    says: &'static [&'static str],
    status: u8,
    end: &'static str,
}

const OFF: &str = "reboot: Power down";
const AGAIN: &str = "reboot: Restarting system";
const HALTED: &str = "reboot: System halted";

const PLAIN: Scenario =
    Scenario { name: "", bare: false, arguments: "", typed: &[], says: &[], status: 0, end: OFF };

const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "an_unmodified_alpine_gives_a_login_shell",
        typed: &[
            // A terminal of its own, with job control: Ctrl-C ends what runs, not the shell.
            ("# ", "tty; echo login=$((6*7)) $0\n"),
            ("login=42 -sh", "sh -c 'echo waits=$((2*3)); exec sleep 1000'\n"),
            ("waits=6", "\x03"),
            ("# ", "exit 5\n"),
        ],
        says: &["/dev/", "login=42 -sh"],
        status: 5,
        ..PLAIN
    },
    Scenario {
        name: "what_goes_wrong_is_told_and_a_person_may_look",
        arguments: "pipkin.unknown=1 pipkin.mount=none:/x:nofs pipkin.end=later ip=somewhere pipkin.vsock=9 \
                    pipkin.rescue -- /no/such",
        typed: &[
            ("end this shell to go on", ""),
            ("# ", "echo rescued=$((3*5)); exit\n"),
            ("end this shell to go on", ""),
            ("# ", "echo again=$((3*7)); exit\n"),
        ],
        says: &[
            "pipkin: obey kernel argument pipkin.unknown=1: invalid argument",
            "pipkin: obey kernel argument pipkin.end=later: invalid argument",
            "pipkin: mount none:/x:nofs: no such device",
            "pipkin: take a fixed address from ip= somewhere: invalid argument",
            "rescued=15",
            "pipkin: execute /no/such: no such file or directory",
            "again=21",
            // There is no such device: the console alone has the status.
            "pipkin: tell the host by vsock: ",
        ],
        status: 127,
        ..PLAIN
    },
    Scenario {
        name: "nothing_to_run_ends_the_machine",
        bare: true,
        says: &["pipkin: execute /bin/sh: no such file or directory"],
        status: 127,
        ..PLAIN
    },
    Scenario {
        name: "no_root_ends_the_machine",
        bare: true,
        arguments: "root=UUID=70697063-696e-4000-8000-000000000001 -- /pipkin --version",
        says: &["pipkin: find the root UUID=70697063-696e-4000-8000-000000000001: no such device"],
        status: 125,
        ..PLAIN
    },
    Scenario {
        name: "last_words_are_not_lost",
        // More than a serial line's buffer, and gone at once.
        arguments: "-- sh -c \"seq 1 2000; echo last\"",
        says: &["\n1999\n2000\nlast\n"],
        ..PLAIN
    },
    Scenario {
        name: "a_kill_for_want_of_memory_is_told",
        arguments: "-- sh -c \"cd /sys/fs/cgroup; mkdir x; echo 20M >x/memory.max; echo $$ >x/cgroup.procs; \
                    exec tail /dev/zero\"",
        says: &["pipkin: out of memory: processes killed: 1\n"],
        status: 137,
        ..PLAIN
    },
    Scenario {
        name: "a_machine_that_only_a_reset_ends_is_reset",
        bare: true,
        arguments: "reboot=k -- /pipkin --version",
        says: &["pipkin version "],
        end: AGAIN,
        ..PLAIN
    },
];

/// The signals that end a machine, in the order of [`ORDERS_EVERYWHERE`] first: the name for `kill`, and how.
const ORDERS: [(&str, &str); 8] = [
    ("TERM", AGAIN),
    ("USR1", HALTED),
    ("PWR", OFF),
    ("INT", AGAIN),
    ("37", HALTED),
    ("38", OFF),
    ("39", AGAIN),
    ("40", AGAIN),
];
/// So many of them are tried on the slower machine too: one for each way to end.
const ORDERS_EVERYWHERE: usize = 3;

/// Runs all of them for `arch`, or those whose name contains `case`.
///
/// # Errors
/// Whatever kept a machine from being made or from ending by itself.
pub(super) fn run(arch: Arch, case: Option<&str>) -> Result<Tally> {
    let wanted = |name: &str| case.is_none_or(|case| name.contains(case));
    // What an image that needs only an init would carry.
    let bare = Tiny::new(arch, Face::Init, Tree::new(), &[])?;
    let alpine = Tiny::new(arch, Face::All, root(arch)?, &[])?;
    let mut tallies = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| wanted(scenario.name)) {
        tallies.push(scenario.run(arch, if scenario.bare { &bare } else { &alpine })?);
    }
    let orders = if arch == Arch::HOST { ORDERS.len() } else { ORDERS_EVERYWHERE };
    for (signal, end) in ORDERS.iter().take(orders) {
        let name = format!("{signal}_to_pid_1_ends_the_machine");
        if !wanted(&name) {
            continue;
        }
        let arguments = format!("-- sh -c \"kill -{signal} 1; exec sleep 1000\"");
        let outcome = alpine.run(&vm::for_tests(arch)?, &arguments, TIMEOUT)?;
        let right = outcome.status == 143 && outcome.output.contains(end);
        tallies.push(check(&name, right));
    }
    Ok(tallies.into_iter().sum())
}

impl Scenario {
    fn run(&self, arch: Arch, tiny: &Tiny) -> Result<Tally> {
        let mut machine = vm::for_tests(arch)?;
        machine.typed = self.typed;
        let outcome = tiny.run(&machine, self.arguments, TIMEOUT)?;
        let missing = self.says.iter().chain([&self.end]).find(|words| !outcome.output.contains(**words));
        if let Some(words) = missing {
            println!("boot: {} did not say {words:?}", self.name);
        }
        if outcome.status != self.status {
            println!("boot: {} ended with {} and not {}", self.name, outcome.status, self.status);
        }
        Ok(check(self.name, missing.is_none() && outcome.status == self.status))
    }
}
