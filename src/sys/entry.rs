//! The program's first function, in place of the one of std.
//!
//! std's start makes SIGPIPE ignored, which a payload would inherit, opens `/dev/null` and aborts where there is
//! none, and makes a signal stack: an init wants none of it. What the other faces need of it they ask for by name:
//! [`Stream::open_closed`](super::stdio::Stream::open_closed).

use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Where the released arguments are, for [`hide_arguments`]: address and length.
static RELEASED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// The arguments as the kernel left them.
#[derive(Debug)]
pub struct Strings {
    list: &'static [*const c_char],
}

impl Strings {
    /// Takes the null-terminated list at `list`.
    ///
    /// # Safety
    /// `list` and each string it points to must be what a C runtime hands to `main`: valid, writable, NUL-terminated,
    /// and touched by nobody else.
    #[must_use]
    pub unsafe fn new(list: *const *const c_char) -> Self {
        let mut length = 0;
        let mut next = list;
        // SAFETY: every element up to and including the null belongs to the list, and this one is no later.
        while !unsafe { next.read() }.is_null() {
            // SAFETY: this element is not the null, so another one follows.
            next = unsafe { next.add(1) };
            length += 1;
        }
        // SAFETY: the elements before the null were just read; by the caller's word they stay for good.
        Self { list: unsafe { core::slice::from_raw_parts(list, length) } }
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &CStr> + Clone {
        // SAFETY: `new` was promised NUL-terminated strings that nobody else touches, and they are written to only
        // after `release` took `self`, and with it every borrow of them.
        self.list.iter().map(|string| unsafe { CStr::from_ptr(*string) })
    }

    /// Lets go of them: whoever needs one has a copy. From here on [`hide_arguments`] may overwrite them.
    pub fn release(self) {
        let length = |string: &CStr| string.to_bytes_with_nul().len();
        // The kernel lays them one behind the other (fs/binfmt_elf.c); as far as that holds they are one range.
        let mut end = self.list.first().map_or(0, |first| (*first).addr());
        for string in self.iter() {
            if string.as_ptr().addr() == end {
                end += length(string);
            }
        }
        let start = self.list.first().map_or(core::ptr::null(), |first| *first);
        RELEASED[1].store(end.saturating_sub(start.addr()), Ordering::Relaxed);
        RELEASED[0].store(start.expose_provenance(), Ordering::Relaxed);
    }
}

/// Overwrites the released arguments of this process by the program's bare name, so that `/proc/PID/cmdline` tells
/// nobody what they were.
pub fn hide_arguments() {
    const NAME: &[u8] = b"pipkin";
    let (start, length) = (RELEASED[0].load(Ordering::Relaxed), RELEASED[1].load(Ordering::Relaxed));
    if start == 0 || length <= NAME.len() {
        return;
    }
    let start = core::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: `release` took the only value that could read these bytes, which the kernel left writable on the stack
    // for the life of the process; `length` bytes from `start` are the strings themselves.
    let arguments = unsafe { core::slice::from_raw_parts_mut(start, length) };
    for (place, byte) in arguments.iter_mut().enumerate() {
        *byte = NAME.get(place).copied().unwrap_or(0);
    }
}

/// Makes `$start`, a `fn(Strings) -> !` of the arguments, the program's first function.
#[macro_export]
macro_rules! entry_point {
    ($start:path) => {
        #[allow(unsafe_code)]
        // SAFETY: no other function of the program is called `main`; std's is left out by `no_main`.
        #[unsafe(no_mangle)]
        extern "C" fn main(
            _count: core::ffi::c_int,
            argv: *const *const core::ffi::c_char,
        ) -> core::ffi::c_int {
            // SAFETY: this is `main`, called once by the C runtime's start, with the kernel's own list.
            let args = unsafe { $crate::sys::entry::Strings::new(argv) };
            $start(args)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;

    #[test]
    fn a_list_ends_at_its_null() {
        let list =
            std::boxed::Box::leak(std::boxed::Box::new([c"a".as_ptr(), c"b".as_ptr(), core::ptr::null()]));
        // SAFETY: null-terminated, of literals, and leaked.
        let strings = unsafe { Strings::new(list.as_ptr()) };
        assert!(strings.iter().eq([c"a", c"b"]));
    }
}
