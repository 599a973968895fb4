//! What a user namespace adds to a plan.
//!
//! As root, the host opens everything that is shown from it, lets the layers and what was asked for show the
//! container's ids once these are mapped, and gives the writable layer to whom root inside is outside. Without root
//! the child opens what the caller may.

use super::source::{Held, by_host, directory, held, keeps_groups, mappings, outside, writer};
use super::{Conflict, Groups, HostFacts, HostStep, Layers};
use crate::spec::{
    Attributes, Capabilities, CapabilitySet, Join, Mapping, Mount, RootSource, Source, Spec, UserNamespace,
};
use core::ffi::CStr;
use linux_raw_sys::general::MOUNT_ATTR_RDONLY;

/// Takes a step of the host.
type Push<'p, 'a> = &'p mut dyn FnMut(HostStep<'a>) -> Result<(), Conflict>;

/// Above the host's own root, where everyone has access: a path that leads to whatever was mounted there last.
const ABOVE_ROOT: &CStr = c"/..";

/// Refuses what a user namespace cannot have, or what nothing but one can.
pub(super) fn check(spec: &Spec<'_>, facts: &HostFacts) -> Result<(), Conflict> {
    let cannot_map = |why, remedy| Err(Conflict::new("map the ids of a volume", why, remedy));
    if mappings(spec).next().is_some() && !facts.root {
        return cannot_map("only root may map the ids of files", "leave out idmap");
    }
    let fixed = spec.namespaces.user.map_or(facts.fixed_groups, |user| keeps_groups(&user, facts));
    if fixed && !spec.process.user.additional.is_empty() {
        let why = "this user namespace does not let them be changed";
        let remedy = "leave them out, or have ranges of ids mapped";
        return Err(Conflict::new("give supplementary groups", why, remedy));
    }
    let Some(user) = spec.namespaces.user else {
        return match mappings(spec).any(|mapping| mapping.own.is_none()) {
            true => {
                cannot_map("the container has no user namespace", "give --userns auto, or leave out idmap")
            }
            false => check_capabilities(spec, facts),
        };
    };
    if facts.root && !has_root(&user) {
        let why = "user or group 0 has no place in the maps";
        return Err(Conflict::new("build the root in a user namespace", why, "map 0 too"));
    }
    let ns = &spec.namespaces;
    if user.path.is_none()
        && [ns.pid, ns.network, ns.ipc, ns.uts, ns.cgroup, ns.time]
            .iter()
            .any(|join| matches!(join, Join::Path(_)))
    {
        let why = "the container's new user namespace has no rights over it";
        return Err(Conflict::new("join a namespace by its path", why, "leave out one of the two"));
    }
    Ok(())
}

/// Refuses capabilities that we have not ourselves: in no user namespace nobody can give them.
fn check_capabilities(spec: &Spec<'_>, facts: &HostFacts) -> Result<(), Conflict> {
    let Capabilities { bounding, permitted, .. } = spec.process.capabilities;
    let missing = CapabilitySet(bounding.0 | permitted.0).without(facts.capabilities);
    missing.names().next().map_or(Ok(()), |name| {
        let remedy = "leave it out (--cap-drop), or start Pipkin with it";
        let why = "Pipkin itself does not have it here";
        Err(Conflict::new("give the capability", why, remedy).about(name.as_bytes()))
    })
}

/// Whether user and group 0 exist inside.
pub(super) fn has_root(user: &UserNamespace<'_>) -> bool {
    outside(user.uids, 0).is_some() && outside(user.gids, 0).is_some()
}

/// Gives the cgroup to a container that sees it as the root of all and is let write there (config-linux.md, cgroup
/// ownership).
pub(super) fn give_cgroup<'a>(spec: &Spec<'a>, push: Push<'_, 'a>) -> Result<(), Conflict> {
    let writes = |mount: &Mount<'_>| {
        let Attributes { set, set_recursive, .. } = mount.attributes;
        mount.source == Source::Cgroup && (set | set_recursive) & MOUNT_ATTR_RDONLY == 0
    };
    if spec.namespaces.cgroup == Join::New
        && let Some(user) = spec.namespaces.user
        && spec.mounts.iter().any(writes)
        && let (Some(uid), Some(gid)) = (outside(user.uids, 0), outside(user.gids, 0))
    {
        push(HostStep::GiveCgroup { uid, gid })?;
    }
    Ok(())
}

/// The host's steps before the child is made.
pub(super) fn before_clone<'a>(
    spec: &Spec<'a>,
    facts: &HostFacts,
    push: Push<'_, 'a>,
) -> Result<(), Conflict> {
    if !by_host(spec, facts) {
        return Ok(());
    }
    if let Some(user) = spec.namespaces.user
        && let RootSource::Layers { upper, .. } = spec.root.source
        && let Some(directory) = directory(upper)
        && let (Some(uid), Some(gid)) = (outside(user.uids, 0), outside(user.gids, 0))
    {
        push(HostStep::GiveLayer { directory, uid, gid })?;
    }
    held(spec, facts)
        .try_for_each(|held| push(HostStep::OpenSource { path: held.path, recursive: held.recursive }))?;
    map(spec, facts, true, push)
}

/// Has the sources that were taken hold of shown with other ids: by maps of their own, or by those of the container.
fn map<'a>(spec: &Spec<'a>, facts: &HostFacts, own: bool, push: Push<'_, 'a>) -> Result<(), Conflict> {
    for (slot, Held { path, mapped, .. }) in (0..).zip(held(spec, facts)) {
        if let Some(Mapping { own: maps, recursive }) = mapped
            && maps.is_some() == own
        {
            push(HostStep::MapSource { path, slot, maps, recursive })?;
        }
    }
    Ok(())
}

/// The host's steps once there is a child to write maps for.
pub(super) fn after_clone<'a>(
    spec: &Spec<'a>,
    facts: &HostFacts,
    push: Push<'_, 'a>,
) -> Result<(), Conflict> {
    let Some(user) = spec.namespaces.user else { return Ok(()) };
    push(match user.path {
        Some(_) => HostStep::AwaitSuccessor,
        None => HostStep::WriteIdMaps { uids: user.uids, gids: user.gids, writer: writer(&user, facts) },
    })?;
    super::network::early(spec, push)?;
    if by_host(spec, facts) {
        map(spec, facts, false, push)?;
    }
    push(HostStep::Release)
}

/// Where the root is put together. Who is nobody outside cannot reach the container's own directory.
pub(super) fn staging<'a>(spec: &Spec<'a>) -> &'a CStr {
    let ours = !matches!(spec.root.source, RootSource::Directory { .. });
    if spec.namespaces.user.is_some() && ours { ABOVE_ROOT } else { spec.root.staging }
}

/// Where the layers are.
pub(super) fn layers(spec: &Spec<'_>, facts: &HostFacts) -> Layers {
    if !by_host(spec, facts) {
        return Layers::Paths;
    }
    // The layers come last among what is held, the only ones that are mapped there beside binds.
    let RootSource::Layers { lower, upper, .. } = spec.root.source else { return Layers::Paths };
    let own = usize::from(directory(upper).is_some());
    let first = held(spec, facts).count().saturating_sub(lower.len()).saturating_sub(own);
    u8::try_from(first).map_or(Layers::Paths, Layers::Held)
}

/// Whether the container is kept from making user namespaces of its own: unless it may mount and more anyway.
pub(super) fn forbids_more(spec: &Spec<'_>) -> bool {
    const SYS_ADMIN: u32 = 21;
    let CapabilitySet(bounding) = spec.process.capabilities.bounding;
    let proc = spec.mounts.iter().any(|mount| mount.target == c"/proc");
    // One that is entered is others' too.
    spec.namespaces.user.is_some_and(|user| user.path.is_none()) && proc && bounding >> SYS_ADMIN & 1 == 0
}

/// The supplementary groups that the process can have.
pub(super) fn groups<'a>(spec: &Spec<'a>, facts: &HostFacts) -> Groups<'a> {
    match spec.namespaces.user {
        None if facts.fixed_groups => Groups::Inherited,
        None => Groups::All,
        Some(user) if keeps_groups(&user, facts) => Groups::Inherited,
        Some(user) => Groups::Mapped(user.gids),
    }
}
