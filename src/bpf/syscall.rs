//! Every known system call by name and number: `data/syscall.table`, made into Rust by build.rs.

use super::policy::Arch;

// NAMES, ENDS, NUMBERS, ARM_PRIVATE_SHIFT, and assertions that the numbers are linux-raw-sys's.
include!(concat!(env!("OUT_DIR"), "/syscall_table.rs"));

/// In place of a number that an architecture does not have.
const NONE: u16 = u16::MAX;
/// Stored numbers from here on are Arm's private calls.
const PRIVATE: u32 = 0xf000;

/// A system call that some architecture has or had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Syscall(usize);

impl Syscall {
    /// All of them, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..ENDS.len()).map(Self)
    }

    /// The call of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (mut low, mut high) = (0, ENDS.len());
        while low < high {
            let middle = low.midpoint(high);
            match Self(middle).name().cmp(name) {
                core::cmp::Ordering::Equal => return Some(Self(middle)),
                core::cmp::Ordering::Less => low = middle.saturating_add(1),
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The kernel's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let end = |index: usize| ENDS.get(index).map(|end| usize::from(*end));
        let start = self.0.checked_sub(1).and_then(end).unwrap_or(0);
        end(self.0).and_then(|end| NAMES.get(start..end)).unwrap_or_default()
    }

    /// Its number on `arch`; `None` when it has none there.
    #[must_use]
    pub fn number(self, arch: Arch) -> Option<u32> {
        let [x86_64, aarch64, x86, arm] = *NUMBERS.get(self.0)?;
        let stored = match arch {
            Arch::X86_64 => x86_64,
            Arch::Aarch64 => aarch64,
            Arch::X86 => x86,
            Arch::Arm => arm,
        };
        match stored {
            NONE => None,
            private if arch == Arch::Arm && u32::from(private) >= PRIVATE => {
                u32::from(private).checked_add(ARM_PRIVATE_SHIFT)
            }
            number => Some(u32::from(number)),
        }
    }
}
