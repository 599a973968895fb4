//! Defences that a test may take away, to see that the attack it makes would succeed without them.
//!
//! In the shipped program all of them stand: the answer is a constant there, and nothing of the choice is left. Only a
//! build with the feature `test-hooks` can be told to go without.

/// A defence of the child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defence {
    /// The container's root is the root before the first path in it is looked up.
    PivotFirst,
    /// Paths in the container are resolved as if its root were the root, and through no link of `/proc`.
    InRoot,
    /// What was checked is what is used: a descriptor, not the path again.
    ByHandle,
    /// The kernel's file systems are mounted, masked and closed only where no link is on the way.
    RealDirectory,
    /// The child runs from a file that cannot be written to.
    OwnFile,
    /// Until it executes something, nobody may look into the child.
    NotDumpable,
    /// No descriptor of the host's is left in the child, or in what it executes.
    CloseDescriptors,
    /// Nothing is mounted over a part of `/proc`.
    WholeProc,
    /// Kernel parameters are written through the procfs that the child has mounted, past whatever lies over it.
    OwnProc,
    /// Masks are made of the host's null device, checked to be that.
    VerifiedNull,
    /// The inheritable capabilities are those of the plan, and so none.
    NoInheritable,
    /// The supplementary groups are set.
    Groups,
    /// The process leaves the host's session, and by that its terminal.
    OwnSession,
    /// The filter is installed.
    Filter,
    /// The host's root goes when the container's has taken its place.
    OldRootGone,
    /// Paths are masked and made read-only.
    Masks,
    /// No exec can raise privileges.
    NoNewPrivileges,
    /// Before the command runs, the child looks whether all this is so.
    SelfCheck,
}

#[cfg(not(feature = "test-hooks"))]
impl Defence {
    /// Whether it is there.
    #[must_use]
    pub const fn stands(self) -> bool {
        true
    }
}

#[cfg(feature = "test-hooks")]
mod absent {
    use super::Defence;
    use core::sync::atomic::{AtomicU32, Ordering};

    static ABSENT: AtomicU32 = AtomicU32::new(0);

    const NAMES: [(&str, Defence); 18] = [
        ("pivot-first", Defence::PivotFirst),
        ("in-root", Defence::InRoot),
        ("by-handle", Defence::ByHandle),
        ("real-directory", Defence::RealDirectory),
        ("own-file", Defence::OwnFile),
        ("not-dumpable", Defence::NotDumpable),
        ("close-descriptors", Defence::CloseDescriptors),
        ("whole-proc", Defence::WholeProc),
        ("own-proc", Defence::OwnProc),
        ("verified-null", Defence::VerifiedNull),
        ("no-inheritable", Defence::NoInheritable),
        ("groups", Defence::Groups),
        ("own-session", Defence::OwnSession),
        ("filter", Defence::Filter),
        ("old-root-gone", Defence::OldRootGone),
        ("masks", Defence::Masks),
        ("no-new-privileges", Defence::NoNewPrivileges),
        ("self-check", Defence::SelfCheck),
    ];

    impl Defence {
        /// Whether it is there.
        #[must_use]
        pub fn stands(self) -> bool {
            ABSENT.load(Ordering::Relaxed) & (1 << self as u32) == 0
        }

        /// Takes the one of this name away for good; false when there is none. With it goes the self-check, which would
        /// find it missing, unless there is a `!` in front of the name.
        #[must_use]
        pub fn take_away(name: &str) -> bool {
            let (name, blind) =
                name.strip_prefix('!').map_or((name, 1 << Self::SelfCheck as u32), |name| (name, 0));
            let found = NAMES.iter().find(|(known, _)| *known == name);
            let bit = found.map_or(0, |(_, defence)| 1 << *defence as u32);
            ABSENT.fetch_or(bit | blind, Ordering::Relaxed);
            bit != 0
        }
    }
}
