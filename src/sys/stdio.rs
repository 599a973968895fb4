//! The three standard streams as borrowed descriptors.

use rustix::fd::{BorrowedFd, RawFd};

/// A standard stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Stream {
    /// Standard input, descriptor 0.
    Input = 0,
    /// Standard output, descriptor 1.
    Output = 1,
    /// Standard error, descriptor 2.
    Error = 2,
}

impl Stream {
    /// All three, lowest first.
    pub const ALL: [Self; 3] = [Self::Input, Self::Output, Self::Error];

    /// The stream's descriptor. Where the process was started without one, calls on it answer `EBADF`.
    #[must_use]
    pub const fn fd(self) -> BorrowedFd<'static> {
        // SAFETY: the number is not -1, and no value of this program owns descriptors 0 to 2, so nothing closes
        // them; one that was never open is refused by the kernel at each call and touches no other file.
        unsafe { BorrowedFd::borrow_raw(self as RawFd) }
    }
}
