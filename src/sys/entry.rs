//! The program's first function, in place of the one of std.
//!
//! std's start makes SIGPIPE ignored, which a payload would inherit, opens `/dev/null` and aborts where there is
//! none, and makes a signal stack: an init wants none of it. What the other faces need of it they ask for by name:
//! [`Stream::open_closed`](super::stdio::Stream::open_closed).

use core::ffi::{CStr, c_char};

/// The arguments as the kernel left them: there for as long as the program runs.
#[derive(Clone, Copy, Debug)]
pub struct Strings {
    list: &'static [*const c_char],
}

impl Strings {
    /// Takes the null-terminated list at `list`.
    ///
    /// # Safety
    /// `list` and each string it points to must be what a C runtime hands to `main`: valid, NUL-terminated, never
    /// written to again.
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
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'static CStr> + Clone {
        // SAFETY: `new` was promised NUL-terminated strings that stay as they are.
        self.list.iter().map(|string| unsafe { CStr::from_ptr(*string) })
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
