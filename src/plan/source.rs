//! What is taken from the host while its file system is in sight, under which number each is kept, and what a user
//! namespace changes about it.
//!
//! In a user namespace no node can be made, so devices are bound; a file system that shows another namespace than
//! one of the container's own cannot be mounted, so the host's is bound; and `proc` and `sysfs` can be made only
//! while whole ones are in sight (the kernel's `mount_too_revealing`).

use super::{HostFacts, MapWriter};
use crate::spec::{
    Attributes, DEFAULT_DEVICES, Device, IdMap, Join, Mapping, Mount, MountOption, RootSource, Source, Spec,
    Upper, UserNamespace,
};
use core::ffi::CStr;

/// A path of the host that is held by descriptor from before the root is exchanged.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) path: &'a CStr,
    pub(super) recursive: bool,
    /// Whose ids it is shown with.
    pub(super) mapped: Option<Mapping<'a>>,
}

/// The mappings that were asked for.
pub(super) fn mappings<'a>(spec: &Spec<'a>) -> impl Iterator<Item = Mapping<'a>> {
    spec.mounts.iter().filter_map(|mount| match mount.source {
        Source::Bind { mapped, .. } => mapped,
        Source::FileSystem { .. } | Source::Cgroup => None,
    })
}

/// Whether the host takes hold of the sources: it reaches what root inside, who is nobody outside, does not, and can
/// have them shown with other ids.
pub(super) fn by_host(spec: &Spec<'_>, facts: &HostFacts) -> bool {
    facts.root && (spec.namespaces.user.is_some() || mappings(spec).next().is_some())
}

/// Everything held, in the order of its numbers: binds, devices, and when the host opens them the layers and the
/// directory of the writable one.
pub(super) fn held<'a>(spec: &Spec<'a>, facts: &HostFacts) -> impl Iterator<Item = Held<'a>> {
    let (spec, facts) = (*spec, *facts);
    let binds = spec.mounts.iter().filter_map(move |mount| match shown(mount, &spec, &facts)? {
        Source::Bind { path, recursive, mapped, volume } => {
            let shifted = volume && spec.namespaces.user.is_some() && by_host(&spec, &facts);
            let mapped = mapped.or(shifted.then_some(Mapping::CONTAINER));
            Some(Held { path, recursive, mapped })
        }
        Source::FileSystem { .. } | Source::Cgroup => None,
    });
    let one = |path, mapped: Option<Mapping<'a>>| Held { path, recursive: false, mapped };
    let count = if in_user_namespace(&spec, &facts) { usize::MAX } else { 0 };
    let devices = devices(&spec).take(count).map(move |device| one(device.source, None));
    let (lower, own) = match spec.root.source {
        RootSource::Layers { lower, upper, .. }
            if spec.namespaces.user.is_some() && by_host(&spec, &facts) =>
        {
            (lower, directory(upper))
        }
        _ => (&[][..], None),
    };
    let layers = lower.iter().map(move |path| one(path, Some(Mapping::CONTAINER)));
    binds.chain(devices).chain(layers).chain(own.map(|path| one(path, None)))
}

/// The directory of a writable layer on disk.
pub(super) fn directory(upper: Upper<'_>) -> Option<&CStr> {
    match upper {
        Upper::Directory(directory) => Some(directory),
        Upper::Tmpfs => None,
    }
}

/// What `mount` shows: in a user namespace that shares another namespace with the host, the host's own view of it,
/// or nothing of what the host may not have mounted itself.
pub(super) fn shown<'a>(mount: &Mount<'a>, spec: &Spec<'a>, facts: &HostFacts) -> Option<Source<'a>> {
    let ns = &spec.namespaces;
    let Source::FileSystem { kind, options } = mount.source else { return Some(mount.source) };
    if !in_user_namespace(spec, facts) {
        return Some(mount.source);
    }
    for (name, join, path) in
        [(c"proc", ns.pid, Some(c"/proc")), (c"sysfs", ns.network, Some(c"/sys")), (c"mqueue", ns.ipc, None)]
    {
        if kind == name && join == Join::Host {
            return path.map(|path| Source::Bind { path, recursive: true, mapped: None, volume: false });
        }
    }
    let group = options.contains(&TERMINAL_GROUP);
    let has_place = ns.user.map_or(facts.terminal_group, |user| outside(user.gids, 5).is_some());
    let options = if group && !has_place { &TERMINALS_WITHOUT_GROUP } else { options };
    Some(Source::FileSystem { kind, options })
}

/// The attributes of a bind. In the place of a file system it brings what the host has mounted below.
pub(super) fn attributes(mount: &Mount<'_>) -> Attributes {
    match mount.source {
        Source::FileSystem { .. } => {
            Attributes { set_recursive: mount.attributes.set, ..Attributes::default() }
        }
        Source::Bind { .. } | Source::Cgroup => mount.attributes,
    }
}

/// The group `tty`, which has a place in most maps.
const TERMINAL_GROUP: MountOption<'static> = MountOption::Value(c"gid", c"5");
/// What is left of the usual options where it has none.
const TERMINALS_WITHOUT_GROUP: [MountOption<'static>; 3] = [
    MountOption::Flag(c"newinstance"),
    MountOption::Value(c"ptmxmode", c"0666"),
    MountOption::Value(c"mode", c"0620"),
];

/// Whether the container is in a user namespace, its own or the one that we are in ourselves.
pub(super) fn in_user_namespace(spec: &Spec<'_>, facts: &HostFacts) -> bool {
    facts.nested || spec.namespaces.user.is_some()
}

/// The type and the options of the new file system that `shown` is.
pub(super) fn file_system<'a>(
    shown: Source<'a>,
    spec: &Spec<'a>,
    facts: &HostFacts,
) -> Option<(&'a CStr, &'a [MountOption<'a>])> {
    match shown {
        Source::FileSystem { kind, options } => Some((kind, options)),
        // In the host's own cgroup namespace a new mount would set the hierarchy's options for everybody.
        Source::Cgroup if facts.cgroup && spec.namespaces.cgroup != Join::Host => Some((c"cgroup2", &[])),
        Source::Bind { .. } | Source::Cgroup => None,
    }
}

/// What id `inside` is outside.
pub fn outside(maps: &[IdMap], inside: u32) -> Option<u32> {
    maps.iter().find_map(|map| {
        let offset = inside.checked_sub(map.inside).filter(|offset| *offset < map.count)?;
        map.outside.checked_add(offset)
    })
}

/// Who writes the maps. Without root the kernel takes one id only, the caller's own; ranges need the programs that
/// know what was allotted (newuidmap(1)).
pub(super) fn writer(user: &UserNamespace<'_>, facts: &HostFacts) -> MapWriter {
    map_writer(facts.root, [(user.uids, facts.uid), (user.gids, facts.gid)])
}

/// The same for maps and our own id, of users and of groups.
pub(crate) fn map_writer(root: bool, maps: [(&[IdMap], u32); 2]) -> MapWriter {
    match root {
        true => MapWriter::Root,
        false if maps.iter().all(|(maps, own)| is_only(maps, *own)) => MapWriter::Alone,
        false => MapWriter::Helper,
    }
}

/// Whether supplementary groups cannot be changed inside: the price of a map of one's own group without root
/// (user_namespaces(7)).
pub(super) fn keeps_groups(user: &UserNamespace<'_>, facts: &HostFacts) -> bool {
    !facts.root && is_only(user.gids, facts.gid)
}

fn is_only(maps: &[IdMap], id: u32) -> bool {
    matches!(maps, [map] if map.count == 1 && map.outside == id)
}

pub(super) fn is_dev(mount: &Mount<'_>) -> bool {
    mount.target == c"/dev" && matches!(mount.source, Source::FileSystem { .. })
}

/// The nodes to make: the defaults where `/dev` is a file system of ours, then those asked for.
pub(super) fn devices<'a>(spec: &Spec<'a>) -> impl Iterator<Item = Device<'a>> + use<'a> {
    let own_dev = spec.mounts.iter().any(|mount| is_dev(mount));
    let defaults = if own_dev { &DEFAULT_DEVICES[..] } else { &[] };
    defaults.iter().chain(spec.devices).copied()
}
