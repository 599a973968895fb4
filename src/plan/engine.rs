//! The part of a plan that only an engine's container has: made by one call and started by another, with the engine's
//! programs run in between (OCI runtime-spec, runtime.md and config.md).

use super::describe::Description;
use super::value::Value;
use super::{Child, Conflict, HostStep, Step};
use crate::spec::{RootSource, Spec, Start, Tuning};
use core::ffi::CStr;

/// Whether programs of the engine run while the host's root is still in sight.
pub(super) fn has_hooks(spec: &Spec<'_>) -> bool {
    spec.start == Start::OnRequest { hooks: true }
}

/// The host's last steps.
pub(super) fn finish_host<'a>(
    start: Start,
    push: &mut dyn FnMut(HostStep<'a>) -> Result<(), Conflict>,
) -> Result<(), Conflict> {
    if start == (Start::OnRequest { hooks: true }) {
        push(HostStep::RunHooks)?;
        push(HostStep::Release)?;
    }
    push(HostStep::Release)?;
    push(if start == Start::AtOnce { HostStep::Supervise } else { HostStep::LeaveWaiting })
}

impl<'a> Child<'_, 'a> {
    /// What comes between a finished root and the loss of the host's.
    pub(super) fn await_hooks(&mut self, spec: &Spec<'a>) {
        if has_hooks(spec) {
            self.push(Step::AwaitHooks);
            self.push(Step::PivotRoot);
        }
        if let RootSource::Directory { propagation: Some(propagation), recursive } = spec.root.source {
            self.push(Step::PropagateRoot { propagation, recursive });
        }
    }

    /// How the kernel is to treat the process; root's privileges are still there.
    pub(super) fn tune(&mut self, tuning: &Tuning<'a>) {
        if let Some(personality) = tuning.personality {
            self.push(Step::SetPersonality(personality));
        }
        if !tuning.cpus.is_empty() {
            self.push(Step::SetAffinity(tuning.cpus));
        }
        if let Some(scheduler) = tuning.scheduler {
            self.push(Step::SetScheduler(scheduler));
        }
        if let Some(policy) = tuning.memory {
            self.push(Step::SetMemoryPolicy(policy));
        }
        if let Some(priority) = tuning.io_priority {
            self.push(Step::SetIoPriority(priority));
        }
    }

    /// The wait for a start on request.
    pub(super) fn await_start(&mut self, start: Start, command: &'a CStr) {
        if start != Start::AtOnce {
            self.push(Step::FindCommand(command));
            self.push(Step::AwaitStart);
        }
    }
}

impl<'a> HostStep<'a> {
    /// [`HostStep::describe`] for the steps of this file.
    pub(super) fn describe_engine(&'a self) -> Description<'a> {
        match self {
            Self::SetUnified { file, value } => Description::new(
                "set-limit",
                "write {value} to {file}",
                [("file", Value::Bytes(file.as_bytes())), ("value", Value::Bytes(value.as_bytes()))],
            ),
            Self::LimitDevices(rules) => Description::new(
                "limit-devices",
                "let its processes use devices by rules, later ones counting more: {rules}",
                [("rules", Value::DeviceRules(rules))],
            ),
            Self::OffsetClocks(offsets) => Description::new(
                "offset-clocks",
                "make a time namespace and set {clocks} of its clocks",
                [("clocks", Value::Number(offsets.len() as u64))],
            ),
            Self::HandOver { devices, .. } => Description::new(
                "hand-over",
                "give {devices} interfaces of the host to it",
                [("devices", Value::Number(devices.len() as u64))],
            ),
            Self::GiveCgroup { uid, gid } => Description::new(
                "give-cgroup",
                "give the cgroup to user {uid} and group {gid}",
                [("uid", Value::Number((*uid).into())), ("gid", Value::Number((*gid).into()))],
            ),
            Self::UseCgroup => Description::new("use-cgroup", "use the cgroup that was made for it", []),
            Self::AwaitSuccessor => {
                Description::new("await-successor", "wait until the child is in the user namespace", [])
            }
            Self::AwaitExecution => {
                Description::new("await-execution", "wait until the command was executed", [])
            }
            Self::RunHooks => {
                Description::new("run-hooks", "wait until the root is built, and run the hooks", [])
            }
            _ => Description::new(
                "leave-waiting",
                "wait until the child waits to be started, and leave it",
                [],
            ),
        }
    }
}

impl<'a> Step<'a> {
    /// [`Step::describe`] for the steps of this file.
    pub(super) fn describe_engine(&self) -> Description<'a> {
        match *self {
            Self::BindRoot { staging } => Description::new(
                "bind-root",
                "use {directory} as the root",
                [("directory", Value::Bytes(staging.to_bytes()))],
            ),
            Self::PropagateRoot { propagation, recursive } => Description::new(
                "propagate-root",
                "set the propagation of the root[ and all below it{recursive}] to {propagation}",
                [
                    ("propagation", super::describe::propagation_name(Some(propagation))),
                    ("recursive", Value::Yes(recursive)),
                ],
            ),
            Self::EnterUserNamespace { path, namespaces } => Description::new(
                "enter-user-namespace",
                "enter the user namespace {path}[ and go on in new namespaces: {namespaces}]",
                [("path", Value::Bytes(path.to_bytes())), ("namespaces", Value::Namespaces(namespaces))],
            ),
            Self::AwaitHooks => Description::new("await-hooks", "wait until the hooks have run", []),
            Self::SetPersonality(domain) => Description::new(
                "set-personality",
                "set the execution domain to {domain}",
                [("domain", Value::Number(domain.into()))],
            ),
            Self::SetScheduler(scheduler) => Description::new(
                "set-scheduler",
                "set the scheduling policy to {policy}, nice {nice}, priority {priority}",
                [
                    ("policy", Value::Number(scheduler.policy.into())),
                    ("nice", Value::Signed(scheduler.nice.into())),
                    ("priority", Value::Number(scheduler.priority.into())),
                ],
            ),
            Self::SetIoPriority(priority) => Description::new(
                "set-io-priority",
                "set the I/O priority to class {class}, level {level}",
                [
                    ("class", Value::Number((priority >> 13).into())),
                    ("level", Value::Number((priority & 0x1fff).into())),
                ],
            ),
            Self::SetMemoryPolicy(policy) => Description::new(
                "set-memory-policy",
                "set the memory policy to {mode}",
                [("mode", Value::Number(policy.mode.into()))],
            ),
            Self::SetAffinity(_) => Description::new("set-affinity", "run on the given CPUs only", []),
            Self::FindCommand(command) => Description::new(
                "find-command",
                "see that {command} can be executed",
                [("command", Value::Bytes(command.to_bytes()))],
            ),
            Self::AwaitStart => Description::new("await-start", "wait until somebody asks for the start", []),
            _ => self.describe_entry(),
        }
    }
}
