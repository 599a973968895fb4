//! From one more process that is wanted in a running container to the list of actions that make it.
//!
//! Duty: [`enter`] decides the order, and is pure. Four processes take part: the caller; a scout, born in the
//! container's cgroup, that enters every other namespace and becomes the container's user; a reaper, the first to be
//! seen inside, that adopts what the command leaves behind; and the command.
//!
//! Dangers: whatever is in the container's pid namespace can be looked into by a container that may trace. So nothing
//! of ours is born there before the host is out of reach, and, wherever the kernel lets a process without privileges
//! install the filter, not before it has the container's own rights and no others.

use super::{Child, Conflict, Description, Groups, HostStep, Plan, Step, Value};
use crate::spec::{Filter, Process};
use linux_raw_sys::general::CLONE_NEWUSER;

/// A process to be made in a running container.
#[derive(Clone, Copy)]
pub struct EnterSpec<'a> {
    /// What runs.
    pub process: Process<'a>,
    /// Which supplementary groups it gets.
    pub groups: Groups<'a>,
    /// The `CLONE_NEW*` bits of the namespaces that the container has of its own.
    pub namespaces: u64,
    /// Whether it is born inside the container's cgroup.
    pub cgroup: bool,
    /// Whether it outlives the caller, who waits only until the command was executed.
    pub detached: bool,
    /// Whether it writes nothing: standard output and error are `/dev/null`.
    pub silent: bool,
    /// Whether it is the first to be seen inside itself, as a child of the caller who waits for it or leaves it to whom
    /// that falls: an engine that reaps.
    pub alone: bool,
}

/// Decides how to make `spec` and writes the steps into `plan`, which must be empty.
///
/// # Errors
/// No command, or too many limits.
pub fn enter<'a>(spec: &EnterSpec<'a>, plan: &mut Plan<'a>) -> Result<(), Conflict> {
    let process = &spec.process;
    let command = process.args.list.first().copied();
    let command = command.ok_or(Conflict::new("run nothing", "the command is empty", "give a command"))?;
    let mut push = |step| plan.host.push(step).map_err(|_| Conflict::full("do"));
    push(HostStep::Clone { namespaces: 0, cgroup: spec.cgroup })?;
    push(if spec.detached { HostStep::AwaitExecution } else { HostStep::Supervise })?;

    let mut child = Child { steps: &mut plan.child, slots: 0, made: 0, full: None };
    if let Some(score) = process.oom_score_adj {
        child.push(Step::OomScoreAdj(score));
    }
    // In a user namespace of its own nobody inside has rights over what began outside.
    if spec.namespaces & u64::from(CLONE_NEWUSER) == 0 {
        child.push(Step::ShieldProgramApart);
    }
    child.push(Step::EnterNamespaces(spec.namespaces));
    if let Some(size) = process.terminal {
        child.push(Step::OpenFurtherTerminal(size));
    }
    child.push(Step::GoTo(process.cwd));
    child.tune(&process.tuning);
    child.set_limits(process);
    if spec.silent {
        child.push(Step::CloseOutput);
    }
    // Without no_new_privs only root may install a filter, so the rights go after it there; and it goes into the
    // command alone, since it may forbid what the reaper needs.
    let early = process.no_new_privileges || process.filter.is_none();
    if early {
        child.take_rights(process, spec.groups);
    }
    child.push(Step::AppearInside);
    if !spec.alone {
        child.push(Step::StayAsReaper { attached: !spec.detached });
        child.push(Step::DieWithParent);
    }
    child.push(Step::NewSession);
    child.confine(process, process.confinement.paths);
    child.install(process.filter);
    if !early {
        child.take_rights(process, spec.groups);
    }
    child.push(Step::Execute { command, init: false });
    child.full.map_or(Ok(()), |what| Err(Conflict::full(what)))
}

impl<'a> Child<'_, 'a> {
    /// Standard input, limits and the umask of a process.
    pub(super) fn set_limits(&mut self, process: &Process<'a>) {
        if !process.stdin && process.terminal.is_none() {
            self.push(Step::CloseStdin);
        }
        for limit in process.rlimits {
            self.push(Step::SetRlimit(*limit));
        }
        self.push(Step::SetUmask(process.umask));
    }

    /// From root in the container to the process's own user and rights.
    fn take_rights(&mut self, process: &Process<'a>, groups: Groups<'a>) {
        self.push(Step::BecomeUser { user: process.user, capabilities: process.capabilities, groups });
        if process.no_new_privileges {
            self.push(Step::ForbidNewPrivileges);
        }
    }

    /// The filter, if there is one.
    pub(super) fn install(&mut self, filter: Option<Filter<'a>>) {
        if let Some(filter) = filter {
            self.push(Step::InstallFilter(filter));
        }
    }
}

impl<'a> Step<'a> {
    /// [`Step::describe`] for the steps of this file.
    pub(super) fn describe_entry(&self) -> Description<'a> {
        match *self {
            Self::EnterNamespaces(namespaces) => Description::new(
                "enter-namespaces",
                "enter the container's namespaces: {namespaces}",
                [("namespaces", Value::Namespaces(namespaces))],
            ),
            Self::OpenFurtherTerminal(size) => Self::OpenTerminal(size).describe(),
            Self::ShieldProgramApart => Self::ShieldProgram.describe(),
            Self::GoTo(path) => Self::ChangeDirectory(path).describe(),
            Self::CloseOutput => {
                Description::new("close-output", "write nothing: standard output and error are /dev/null", [])
            }
            Self::AppearInside => Description::new("appear-inside", "go on inside the pid namespace", []),
            Self::StayAsReaper { .. } => {
                Description::new("stay-as-reaper", "leave a reaper, without any rights, for its orphans", [])
            }
            _ => self.describe_confinement(),
        }
    }
}
