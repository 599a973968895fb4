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

    const NAMES: [(&str, Defence); 6] = [
        ("pivot-first", Defence::PivotFirst),
        ("in-root", Defence::InRoot),
        ("by-handle", Defence::ByHandle),
        ("real-directory", Defence::RealDirectory),
        ("own-file", Defence::OwnFile),
        ("not-dumpable", Defence::NotDumpable),
    ];

    impl Defence {
        /// Whether it is there.
        #[must_use]
        pub fn stands(self) -> bool {
            ABSENT.load(Ordering::Relaxed) & (1 << self as u32) == 0
        }

        /// Takes the one of this name away for good; false when there is none.
        #[must_use]
        pub fn take_away(name: &str) -> bool {
            let found = NAMES.iter().find(|(known, _)| *known == name);
            let bit = found.map_or(0, |(_, defence)| 1 << *defence as u32);
            ABSENT.fetch_or(bit, Ordering::Relaxed);
            bit != 0
        }
    }
}
