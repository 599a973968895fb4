//! `--security-opt seccomp=…`: the default filter, a profile file, or none.

use super::{Checked, refuse};
use crate::cli::message::Failure;
use crate::cli::{input, kernel};
use crate::oci::seccomp::{Context, Unknown, compile};
use pipkin::bpf::default::{FILTER_CAPACITY, filter};
use pipkin::bpf::policy::Arch;
use pipkin::spec::{CapabilitySet, Filter};

/// What the default filter says of where it comes from.
pub(super) const DEFAULT_ORIGIN: &str = "the default policy";

/// Which filter was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice<'a> {
    /// Pipkin's own.
    Default,
    /// None.
    Unconfined,
    /// The profile in this file.
    Profile(&'a str),
}

impl<'a> Choice<'a> {
    /// What the word after `seccomp=` asks for.
    pub(super) fn new(word: &'a str) -> Self {
        match word {
            "default" | "builtin" => Self::Default,
            "unconfined" => Self::Unconfined,
            path => Self::Profile(path),
        }
    }

    /// The filter for a process that may have `capabilities`: a capability opens the calls that need it.
    pub(super) fn filter(self, capabilities: CapabilitySet) -> Checked<Option<Filter<'a>>> {
        match self {
            Self::Default => {
                let buffer = Box::leak(Box::new([0; FILTER_CAPACITY]));
                let too_long =
                    |_| Failure::new("compile the seccomp filter", b"", b"the program is too long");
                let program = filter(capabilities.0, buffer).map_err(too_long)?;
                let origin = DEFAULT_ORIGIN;
                Ok(Some(Filter { program, origin, log: false, allow_speculation: true, asks: false }))
            }
            Self::Unconfined => Ok(None),
            Self::Profile(path) => profile(path, capabilities).map(Some),
        }
    }
}

/// The filter of the profile file `path`.
fn profile(path: &str, capabilities: CapabilitySet) -> Checked<Filter<'_>> {
    let option = ["seccomp=", path].concat();
    let refused = |why: &str| refuse("--security-opt", &option, why);
    let fail = |error: std::io::Error| Failure::io("read the seccomp profile", path.as_bytes(), &error);
    let text = input::file(path).map_err(fail)?;
    let context = Context {
        arch: Arch::NATIVE,
        capabilities: capabilities.0,
        kernel: kernel::version(),
        unknown: Unknown::Refuse,
    };
    let compiled = compile(&text, context).map_err(|fault| refused(&fault.in_document(&text)))?;
    if compiled.listener.is_some() {
        return Err(refused("nobody listens for SCMP_ACT_NOTIFY here: only an engine can have it"));
    }
    let (log, allow_speculation) = (compiled.flags.log, compiled.flags.allow_speculation);
    Ok(Filter { program: compiled.program.leak(), origin: path, log, allow_speculation, asks: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipkin::spec::DEFAULT_CAPABILITIES;

    #[test]
    fn the_constant_filter_is_that_of_the_default_capabilities() {
        let filter = Choice::Default.filter(DEFAULT_CAPABILITIES).unwrap().unwrap();
        assert!(std::ptr::eq(filter.program, pipkin::bpf::default::NATIVE.program));
    }

    #[test]
    fn the_kernel_has_a_version() {
        assert!(kernel::version() > (4, 0));
    }

    #[test]
    fn profiles_are_read_from_files() {
        let path = std::env::temp_dir().join(["pipkin-profile-", &std::process::id().to_string()].concat());
        let path = path.to_str().unwrap();
        let filter = |text: &str| {
            std::fs::write(path, text).unwrap();
            Choice::new(path)
                .filter(DEFAULT_CAPABILITIES)
                .map(|filter| filter.map(|f| (f.log, f.allow_speculation)))
        };
        let logged = r#"{"defaultAction":"SCMP_ACT_LOG","flags":["SECCOMP_FILTER_FLAG_LOG"]}"#;
        let asked = r#"{"defaultAction":"SCMP_ACT_LOG","listenerPath":"/x",
            "syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}"#;
        let answers = [filter(logged), filter(asked), filter("{\"defaultAction\":\n7}")];
        std::fs::remove_file(path).unwrap();
        assert_eq!(answers[0], Ok(Some((true, false))));
        assert!(answers[1].is_err() && answers[2].is_err());
        assert!(Choice::new(path).filter(DEFAULT_CAPABILITIES).is_err());
    }
}
