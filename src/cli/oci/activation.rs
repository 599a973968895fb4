//! What systemd gave the engine for the container: listening sockets (sd_listen_fds(3)) and the socket on which the
//! service says that it is ready (sd_notify(3)).

use super::super::message::Failure;
use crate::oci::keep;
use pipkin::spec::{Attributes, Mount, Source, Spec};
use std::ffi::CStr;

/// Where the container finds the socket for its word.
const NOTIFY: &CStr = c"/run/notify/notify.sock";

/// How many sockets were given to this very process, from descriptor 3 on.
pub(super) fn sockets() -> u16 {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let ours = number("LISTEN_PID") == Some(std::process::id());
    number("LISTEN_FDS").filter(|_| ours).and_then(|count| count.try_into().ok()).unwrap_or(0)
}

/// Lets the container's process know of both.
///
/// # Errors
/// A path that cannot be passed on.
pub(super) fn pass_on(spec: &mut Spec<'static>) -> Result<(), Failure> {
    let mut env = spec.process.env.list.to_vec();
    let (before, sockets) = (env.len(), sockets());
    if sockets > 0 {
        env.push(c"LISTEN_PID=1");
        env.extend(keep::text(["LISTEN_FDS=", &sockets.to_string()].concat()));
        let names = std::env::var("LISTEN_FDNAMES").ok();
        env.extend(names.and_then(|names| keep::text(["LISTEN_FDNAMES=", &names].concat())));
    }
    // One without a path lives in a network namespace, and nowhere else.
    if let Ok(path) = std::env::var("NOTIFY_SOCKET")
        && path.starts_with('/')
    {
        let wrong = || Failure::new("pass on the socket of systemd", path.as_bytes(), b"it has no name");
        let source = Source::Bind {
            path: keep::text(&*path).ok_or_else(wrong)?,
            recursive: false,
            mapped: None,
            volume: false,
        };
        let mount = Mount { target: NOTIFY, source, attributes: Attributes::default(), propagation: None };
        spec.mounts = keep::list([spec.mounts, &[mount]].concat());
        env.push(c"NOTIFY_SOCKET=/run/notify/notify.sock");
    }
    if env.len() > before {
        spec.process.env = keep::strings(env, spec.process.home);
    }
    Ok(())
}
