//! Which namespaces the container has of its own.

use super::quantity::Why;
use super::{Checked, given, keep, user};
use crate::cli::argv::Sorted;
use crate::store::Claim;
use pipkin::spec::{Id, Join, Namespaces};

/// All of them; that of the network is [`super::network`]'s to say. Ids of its own are claimed by `claim`.
pub(super) fn namespaces(
    typed: &Sorted<'_>,
    id: &Id,
    claim: Option<&mut Claim>,
) -> Checked<Namespaces<'static>> {
    let of = |name| given(typed, name, join).map(|join| join.unwrap_or(Join::New));
    Ok(Namespaces {
        pid: of("--pid")?,
        network: Join::New,
        ipc: of("--ipc")?,
        uts: of("--uts")?,
        cgroup: of("--cgroupns")?,
        user: user::namespace(typed, id, claim)?,
        time: if typed.has("--time-ns") { Join::New } else { Join::Host },
        clocks: &[],
    })
}

/// `private`, `host` or `ns:PATH`.
fn join(text: &str) -> Result<Join<'static>, Why> {
    const WHY: Why = "give private, host or ns:PATH";
    match text.split_once(':') {
        None if text == "private" => Ok(Join::New),
        None if text == "host" => Ok(Join::Host),
        Some(("ns", path)) if path.starts_with('/') => keep::text(path).map(Join::Path).ok_or(WHY),
        _ => Err(WHY),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sorted, words};
    use super::*;

    fn of(text: &str) -> Option<Namespaces<'static>> {
        namespaces(&sorted(&words(text)), &Id::from_random(1), None).ok()
    }

    #[test]
    fn everything_is_its_own_unless_asked() {
        assert_eq!(of(""), Some(Namespaces::DEFAULT));
        assert_eq!(of("--userns host"), Some(Namespaces::DEFAULT));
        assert_eq!(of("--ipc host").unwrap().ipc, Join::Host);
        assert_eq!(of("--pid ns:/proc/7/ns/pid").unwrap().pid, Join::Path(c"/proc/7/ns/pid"));
        assert_eq!(of("--ipc private").unwrap().ipc, Join::New);
        assert_eq!(of("--time-ns").unwrap().time, Join::New);
        for bad in ["--pid none", "--uts ns:", "--uts ns:x", "--ipc container:x", "--cgroupns="] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
