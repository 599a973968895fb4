//! Every known system call by name and number: `data/syscall.table`, made into Rust by build.rs.

use super::policy::Arch;

/// A system call's name and its number on each architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Syscall {
    /// The kernel's name for it.
    pub name: &'static str,
    numbers: [u16; 2],
}

/// In place of a number that an architecture does not have.
const NONE: u16 = u16::MAX;

// SYSCALLS, and assertions that the numbers are linux-raw-sys's.
include!(concat!(env!("OUT_DIR"), "/syscall_table.rs"));

impl Syscall {
    /// The call of this name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<&'static Self> {
        SYSCALLS.iter().find(|call| call.name.as_bytes() == name)
    }

    /// Its number on `arch`; `None` when it has none there.
    #[must_use]
    pub const fn number(&self, arch: Arch) -> Option<u32> {
        let [x86_64, aarch64] = self.numbers;
        match match arch {
            Arch::X86_64 => x86_64,
            Arch::Aarch64 => aarch64,
        } {
            NONE => None,
            number => Some(number as u32),
        }
    }
}
