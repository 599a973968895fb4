//! What a plan asks of the kernel's security modules.
//!
//! Without root the process gets a Landlock domain even when it asks for none: in it nobody mounts anything or traces
//! who is outside of it, whatever else fails.

use super::{Child, Conflict, Description, HostFacts, Step, Value};
use crate::spec::{PathRule, Process, Spec};

/// The first version of Landlock that can forbid all changes of files, and the first that lets files be moved.
const WHOLE: u32 = 3;
const MOVING: u32 = 2;

/// The second layer where the first is a user namespace of a user's own.
const EVERYTHING: [PathRule<'static>; 1] = [PathRule { path: c"/", write: true }];

/// Refuses what the kernel cannot be held to.
pub(super) fn check(process: &Process<'_>, facts: &HostFacts) -> Result<(), Conflict> {
    let confinement = &process.confinement;
    if !confinement.paths.is_empty() && !process.no_new_privileges {
        let why = "its exec may raise privileges, and the rules are only for who gave that up";
        return Err(Conflict::new("limit the process to paths", why, "leave out no-new-privileges=false"));
    }
    let remedy = "leave it out, or write landlock=best-effort,... for what there is of it";
    if !confinement.paths.is_empty() && facts.landlock < WHOLE && !confinement.best_effort {
        let why = if facts.landlock == 0 {
            "the kernel has no Landlock, or it is not among its lsm="
        } else {
            "this kernel's Landlock cannot forbid truncating files"
        };
        return Err(Conflict::new("limit the process to paths", why, remedy));
    }
    for (asked, there, why) in [
        (confinement.apparmor, facts.apparmor, "AppArmor is not in force on this machine"),
        (confinement.selinux, facts.selinux, "SELinux is not in force on this machine"),
    ] {
        if let Some(label) = asked.filter(|_| !there) {
            let conflict = Conflict::new("give the process the label", why, "leave it out");
            return Err(conflict.about(label.to_bytes()));
        }
    }
    Ok(())
}

/// The rules in force for `spec`.
pub(super) fn rules<'a>(spec: &Spec<'a>, facts: &HostFacts) -> &'a [PathRule<'a>] {
    const SYS_ADMIN: u32 = 21;
    let asked = spec.process.confinement.paths;
    let mounts = spec.process.capabilities.bounding.contains(SYS_ADMIN);
    let second = !facts.root
        && spec.process.no_new_privileges
        && !mounts
        && facts.landlock >= MOVING
        && asked.is_empty();
    if second { &EVERYTHING } else { asked }
}

impl<'a> Child<'_, 'a> {
    /// The limits of security modules; `rules` are those of Landlock.
    pub(super) fn confine(&mut self, process: &Process<'a>, rules: &'a [PathRule<'a>]) {
        for (file, label) in
            [("apparmor", process.confinement.apparmor), ("selinux", process.confinement.selinux)]
        {
            if let Some(label) = label {
                self.push(Step::SetLabel { module: file, label });
            }
        }
        if !rules.is_empty() {
            self.push(Step::RestrictPaths(rules));
        }
    }
}

impl<'a> Step<'a> {
    /// [`Step::describe`] for the steps of this file.
    pub(super) fn describe_confinement(&self) -> Description<'a> {
        match *self {
            Self::RestrictPaths(rules) => Description::new(
                "restrict-paths",
                "let it reach no other paths than {paths} (Landlock)",
                [("paths", Value::PathRules(rules))],
            ),
            Self::SetLabel { module, label } => Description::new(
                "set-label",
                "let {module} confine it as {label}",
                [("module", Value::Bytes(module.as_bytes())), ("label", Value::Bytes(label.to_bytes()))],
            ),
            _ => Description::new("step", "", []),
        }
    }
}
