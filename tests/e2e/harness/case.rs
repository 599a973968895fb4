//! A property of the program and what is needed to see it.

use super::enclosure::{self, alpine};
use super::footprint::Footprint;
use libtest_mimic::{Completion, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a case needs beside root and Alpine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: it runs on this machine. The test machine, whose processor is emulated, is kept for what only it
    /// can show.
    Nothing,
    /// Nothing, and the test machine has it run too: its kernel is another one.
    Any,
    /// The controllers of cgroup v2.
    Limits,
    /// A machine that lacks them.
    NoLimits,
    /// A machine that is ours to spoil.
    Machine,
    /// Such a machine, whose kernel has AppArmor in force.
    AppArmor,
    /// Such a machine, whose kernel was started with SELinux instead.
    SeLinux,
}

impl Needs {
    fn are_met(self) -> bool {
        match self {
            Needs::Nothing => std::env::var_os("PIPKIN_VM").is_none(),
            Needs::Any => true,
            Needs::Limits => enclosure::has_controllers(),
            Needs::NoLimits => !enclosure::has_controllers(),
            Needs::Machine => std::env::var_os("PIPKIN_VM").is_some(),
            Needs::AppArmor => {
                Needs::Machine.are_met() && says("/sys/module/apparmor/parameters/enabled", "Y")
            }
            Needs::SeLinux => Needs::Machine.are_met() && says("/proc/filesystems", "selinuxfs"),
        }
    }
}

fn says(path: &str, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|found| found.contains(text))
}

/// One test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    /// Panics when the property does not hold.
    pub(crate) run: fn(),
}

/// The named functions as cases of the module they are in, each with the same needs.
macro_rules! cases {
    ($needs:ident, [$($case:ident),+ $(,)?]) => {
        vec![$($crate::harness::Case {
            module: module_path!(),
            name: stringify!($case),
            needs: $crate::harness::Needs::$needs,
            run: $case,
        }),+]
    };
}
pub(crate) use cases;

impl Case {
    pub(crate) fn can_run_here(&self) -> bool {
        self.needs.are_met()
    }

    /// The test, which also fails when it leaves something behind.
    pub(crate) fn into_trial(self) -> Trial {
        let subject = self.module.split_once("::").map_or("", |(_, subject)| subject);
        Trial::ignorable_test(format!("{subject}::{}", self.name), move || {
            if !rustix::process::geteuid().is_root() {
                return Ok(Completion::ignored_with("needs root"));
            }
            if alpine().is_none() {
                return Ok(Completion::ignored_with("needs Alpine in PIPKIN_ROOTFS"));
            }
            let before = Footprint::take();
            (self.run)();
            before.assert_unchanged();
            Ok(Completion::Completed)
        })
    }
}

/// Takes back what a case set up, in a `drop`: when the case has failed already, a failure here is only shown. A second
/// panic would end the whole program, and with it every case that is still to come.
pub(crate) fn undo(action: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(action))
        && !std::thread::panicking()
    {
        resume_unwind(panic);
    }
}
