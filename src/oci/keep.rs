//! Strings that live as long as the program: what a container is made of is borrowed everywhere, to the end.
//!
//! One call of the program makes one container, so nothing is ever given back.

use pipkin::spec::Strings;
use pipkin::sys::process::{StrArray, StrPtr, StrSlot};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

/// Keeps `bytes` as a C string; `None` when they hold a NUL, which only contents of files can.
pub(crate) fn text(bytes: impl Into<Vec<u8>>) -> Option<&'static CStr> {
    CString::new(bytes).ok().map(|text| &*Box::leak(text.into_boxed_c_str()))
}

/// Keeps a word.
pub(crate) fn word(word: &str) -> &'static str {
    word.to_owned().leak()
}

/// Keeps a path of the host, from the root on; `None` when the present directory is gone or in the case of a NUL.
pub(crate) fn path(typed: &[u8]) -> Option<&'static CStr> {
    if typed.starts_with(b"/") {
        return text(typed);
    }
    let here = std::env::current_dir().ok()?;
    text([here.as_os_str().as_bytes(), b"/", typed].concat())
}

/// Keeps a list.
pub(crate) fn list<'a, T: 'a>(items: Vec<T>) -> &'a [T] {
    items.leak()
}

/// Keeps a list of strings in both forms; with `slot`, the array for the kernel has it as one string more.
pub(crate) fn strings(items: Vec<&'static CStr>, slot: Option<&'static StrSlot<256>>) -> Strings<'static> {
    let slot = slot.map(StrPtr::slot);
    let pointers = items.iter().map(|item| StrPtr::new(item)).chain(slot).chain([StrPtr::END]);
    let array = StrArray::new(list(pointers.collect())).unwrap_or(StrArray::EMPTY);
    Strings { list: list(items), array }
}

/// An empty slot for `HOME`.
pub(crate) fn slot() -> &'static StrSlot<256> {
    Box::leak(Box::default())
}
