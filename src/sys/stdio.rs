//! The three standard streams as borrowed descriptors.

use rustix::fd::{AsRawFd, BorrowedFd, RawFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, Result, fcntl_getfd};

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

    /// Opens `/dev/null` as each of the streams that the program was started without, so that no file opened later
    /// becomes one of them and gets what was meant for the user.
    ///
    /// # Errors
    /// Those of open(2) on `/dev/null`.
    pub fn open_closed() -> Result<()> {
        for stream in Self::ALL {
            if fcntl_getfd(stream.fd()) == Err(Errno::BADF) {
                let null = open(c"/dev/null", OFlags::RDWR, Mode::empty())?;
                // The lowest free number is this stream's, since those below it are open; it stays open for good.
                if null.as_raw_fd() == stream as RawFd {
                    core::mem::forget(null);
                }
            }
        }
        Ok(())
    }
}
