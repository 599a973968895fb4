//! The faces of init: PID 1 of a machine when called `init`.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Whether this is PID 1, called `init` by whatever path: boot mode.
pub(crate) fn boots(called_as: &OsStr) -> bool {
    std::process::id() == 1 && Path::new(called_as).file_name() == Some("init".as_ref())
}

/// Boots with the arguments and the environment of this program; see [`pipkin::init::boot`].
pub(crate) fn boot(called_as: OsString, args: Vec<OsString>) -> ! {
    let args = owned([called_as].into_iter().chain(args));
    let env = owned(std::env::vars_os().map(|(mut pair, value)| {
        pair.push("=");
        pair.push(value);
        pair
    }));
    pipkin::init::boot::run(&borrowed(&args), &borrowed(&env))
}

/// As the kernel passed them, so without a NUL inside: none is left out.
fn owned(strings: impl Iterator<Item = OsString>) -> Vec<CString> {
    strings.filter_map(|string| CString::new(string.into_vec()).ok()).collect()
}

fn borrowed(strings: &[CString]) -> Vec<&CStr> {
    strings.iter().map(CString::as_c_str).collect()
}
