//! The engine's programs (config.md, POSIX-platform hooks).

use super::c_text;
use crate::oci::json::{Fault, Value};
use crate::oci::keep;
use pipkin::spec::Strings;
use std::ffi::CStr;

/// One program.
pub(crate) struct Hook {
    /// Where it is.
    pub(crate) path: &'static CStr,
    /// Its arguments, the name it is called by first.
    pub(crate) args: Strings<'static>,
    /// Its whole environment.
    pub(crate) env: Strings<'static>,
    /// Seconds after which it is ended.
    pub(crate) timeout: Option<u32>,
}

/// The hooks called `kind`, in order.
///
/// # Errors
/// A timeout that is none.
pub(crate) fn hooks(value: &Value<'_>, kind: &str) -> Result<Vec<Hook>, Fault> {
    let mut hooks = Vec::new();
    for given in value.elements(&["hooks.", kind].concat()) {
        let path = given.at("path").map_or(Ok(c""), c_text)?;
        let words = |name| given.elements(name).iter().map(c_text).collect::<Result<Vec<_>, _>>();
        let mut args = words("args")?;
        if args.is_empty() {
            args.push(path);
        }
        let timeout = match given.signed_at("timeout") {
            None => None,
            Some(seconds) => Some(
                u32::try_from(seconds)
                    .ok()
                    .filter(|seconds| *seconds > 0)
                    .ok_or_else(|| given.fault("timeout must be greater than 0"))?,
            ),
        };
        let env = keep::strings(words("env")?, None);
        hooks.push(Hook { path, args: keep::strings(args, None), env, timeout });
    }
    Ok(hooks)
}
