//! What the security modules of the kernel are asked to hold the process to, beside the walls of the container.

use core::ffi::CStr;

/// One path of the container, and what may be done below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathRule<'a> {
    /// Absolute, inside the container.
    pub path: &'a CStr,
    /// Whether it may be changed; it may be read and executed in any case.
    pub write: bool,
}

/// What of it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Confinement<'a> {
    /// The only paths that the process reaches (landlock(7)); empty is no such limit.
    pub paths: &'a [PathRule<'a>],
    /// Whether less than that will do where the kernel cannot do all of it.
    pub best_effort: bool,
    /// Name of an AppArmor profile that is loaded (aa_change_onexec(2)).
    pub apparmor: Option<&'a CStr>,
    /// Label for SELinux (setexeccon(3)).
    pub selinux: Option<&'a CStr>,
}

impl Confinement<'_> {
    /// Nothing.
    pub const NONE: Confinement<'static> =
        Confinement { paths: &[], best_effort: false, apparmor: None, selinux: None };
}
