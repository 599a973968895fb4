//! One mount of the configuration (config.md, mounts).

use super::{Context, c_text, from_bundle, namespace, propagation};
use crate::oci::json::{Fault, Value};
use crate::oci::keep;
use linux_raw_sys::general as raw;
use pipkin::spec::{Attributes, Mapping, Mount, MountOption, Source};
use std::ffi::CStr;

/// Options that are attributes of a mount: the bits set, and the bits cleared. With `r` in front they go for
/// everything mounted below as well.
const ATTRIBUTES: [(&str, u32, u32); 18] = [
    ("ro", raw::MOUNT_ATTR_RDONLY, 0),
    ("rw", 0, raw::MOUNT_ATTR_RDONLY),
    ("nosuid", raw::MOUNT_ATTR_NOSUID, 0),
    ("suid", 0, raw::MOUNT_ATTR_NOSUID),
    ("nodev", raw::MOUNT_ATTR_NODEV, 0),
    ("dev", 0, raw::MOUNT_ATTR_NODEV),
    ("noexec", raw::MOUNT_ATTR_NOEXEC, 0),
    ("exec", 0, raw::MOUNT_ATTR_NOEXEC),
    ("nodiratime", raw::MOUNT_ATTR_NODIRATIME, 0),
    ("diratime", 0, raw::MOUNT_ATTR_NODIRATIME),
    ("noatime", raw::MOUNT_ATTR_NOATIME, 0),
    ("atime", 0, raw::MOUNT_ATTR_NOATIME),
    ("strictatime", raw::MOUNT_ATTR_STRICTATIME, 0),
    ("nostrictatime", 0, raw::MOUNT_ATTR_STRICTATIME),
    ("relatime", 0, raw::MOUNT_ATTR_STRICTATIME),
    ("norelatime", 0, 0),
    ("nosymfollow", raw::MOUNT_ATTR_NOSYMFOLLOW, 0),
    ("symfollow", 0, raw::MOUNT_ATTR_NOSYMFOLLOW),
];

/// Options of a file system that are the kernel's own (fs/fs_context.c); a bind has none of them.
const SUPER: [&str; 8] = ["sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand", "remount"];

/// Options that ask for nothing, or for what is always so.
const EMPTY: [&str; 5] = ["defaults", "loud", "silent", "iversion", "noiversion"];

/// File systems whose files the kernel labels itself.
const UNLABELED: [&str; 3] = ["proc", "sysfs", "mqueue"];

/// Every option that is told of by `features`, without those that begin with `r`.
pub(crate) fn known() -> impl Iterator<Item = &'static str> {
    let attributes = ATTRIBUTES.iter().map(|(name, ..)| *name);
    attributes.chain(SUPER.into_iter().take(7)).chain(EMPTY)
}

/// Whether `known` option has a form that goes for everything below.
pub(crate) fn is_recursive(known: &str) -> bool {
    ATTRIBUTES.iter().any(|(name, ..)| *name == known)
}

/// What the options of one mount come to.
#[derive(Default)]
struct Options {
    bind: bool,
    recursive: bool,
    mapped: Option<Mapping<'static>>,
    attributes: Attributes,
    propagation: Option<pipkin::spec::Propagation>,
    own: Vec<MountOption<'static>>,
}

impl Options {
    fn add(&mut self, option: &Value<'_>) -> Result<(), Fault> {
        let word = option.text()?;
        let find = |word: &str| ATTRIBUTES.iter().find(|(name, ..)| *name == word);
        if let Some((_, set, clear)) = find(word) {
            let Attributes { set: to_set, clear: to_clear, .. } = &mut self.attributes;
            (*to_set, *to_clear) = (*to_set & !clear | set, *to_clear & !set | clear);
        } else if let Some((kind, _)) = propagation(word) {
            self.propagation = Some(kind);
        } else if let Some((_, set, clear)) = word.strip_prefix('r').and_then(find) {
            let Attributes { set_recursive: to_set, clear_recursive: to_clear, .. } = &mut self.attributes;
            (*to_set, *to_clear) = (*to_set & !clear | set, *to_clear & !set | clear);
        } else if word == "bind" || word == "rbind" {
            (self.bind, self.recursive) = (true, self.recursive || word == "rbind");
        } else if word == "idmap" || word == "ridmap" {
            let recursive = word == "ridmap" || self.mapped.is_some_and(|mapping| mapping.recursive);
            self.mapped = Some(Mapping { own: None, recursive });
        } else if word == "tmpcopyup" {
            self.own.push(MountOption::CopyUp);
        } else if word == "remount" {
            return Err(option.fault("mounts are made, not changed"));
        } else if !EMPTY.contains(&word) {
            self.own.push(own(option)?);
        }
        Ok(())
    }
}

/// An option of the file system itself.
fn own(option: &Value<'_>) -> Result<MountOption<'static>, Fault> {
    match option.text()?.split_once('=') {
        None => Ok(MountOption::Flag(c_text(option)?)),
        Some((key, value)) => {
            let pair = keep::text(key).zip(keep::text(value));
            pair.map(|(key, value)| MountOption::Value(key, value))
                .ok_or_else(|| option.fault("this must not hold a NUL"))
        }
    }
}

/// Reads one mount.
pub(super) fn mount(
    value: &Value<'_>,
    config: &Value<'_>,
    context: &Context<'_>,
) -> Result<Mount<'static>, Fault> {
    let kind = value.text_at("type").unwrap_or_default();
    let mut options = Options { bind: kind == "bind", ..Options::default() };
    for option in value.elements("options") {
        options.add(option)?;
    }
    let own = (namespace::maps(value, "uidMappings")?, namespace::maps(value, "gidMappings")?);
    if own.0.is_empty() != own.1.is_empty() {
        return Err(value.fault("give uidMappings and gidMappings together"));
    }
    if !own.0.is_empty() {
        options.mapped.get_or_insert(Mapping { own: None, recursive: false }).own = Some(own);
    }
    if options.mapped.is_some() && !options.bind {
        return Err(value.fault("only a bind can be shown with other ids"));
    }
    let source = if options.bind {
        let path = value.at("source").ok_or_else(|| value.fault("source is missing: what is to be bound"))?;
        // A value for the file system says nothing where it is there already (mount(2), MS_BIND); a word that nobody
        // knows may have been meant for the mount.
        if options.own.iter().any(|option| !matches!(option, MountOption::Value(..)) && !is_super(option)) {
            return Err(value.fault("a bind has only options of mounts"));
        }
        let path =
            from_bundle(path.text()?, context).ok_or_else(|| path.fault("this must not hold a NUL"))?;
        Source::Bind { path, recursive: options.recursive, mapped: options.mapped, volume: false }
    } else {
        match kind {
            "" | "none" => return Err(value.fault("type is missing")),
            "cgroup" | "cgroup2" => Source::Cgroup,
            _ => {
                if kind != "tmpfs" && options.own.contains(&MountOption::CopyUp) {
                    return Err(value.fault("tmpcopyup is an option of tmpfs"));
                }
                if let Some(label) = config.at("linux.mountLabel").filter(|label| label.text() != Ok(""))
                    && !UNLABELED.contains(&kind)
                {
                    options.own.push(MountOption::Value(c"context", c_text(label)?));
                }
                name_device(value, &mut options)?;
                let kind = value.at("type").map_or(Ok(c""), c_text)?;
                Source::FileSystem { kind, options: keep::list(options.own) }
            }
        }
    };
    let target = target(value)?;
    Ok(Mount { target, source, attributes: options.attributes, propagation: options.propagation })
}

fn is_super(option: &MountOption<'_>) -> bool {
    matches!(option, MountOption::Flag(word) if SUPER.iter().any(|known| known.as_bytes() == word.to_bytes()))
}

/// What a file system is on: a device or another path, or else a name that /proc/mounts shows.
fn name_device(value: &Value<'_>, options: &mut Options) -> Result<(), Fault> {
    if let Some(source) = value.at("source").filter(|source| source.text() != Ok("")) {
        options.own.push(MountOption::Value(c"source", c_text(source)?));
    }
    Ok(())
}

fn target(value: &Value<'_>) -> Result<&'static CStr, Fault> {
    let Some(target) = value.at("destination") else { return Ok(c"/") };
    let text = target.text()?;
    let depth = text.split('/').fold(0_usize, |depth, name| match name {
        "" | "." => depth,
        ".." => depth.saturating_sub(1),
        _ => depth.saturating_add(1),
    });
    if depth == 0 {
        return Err(target.fault("this is the root itself, which root.path names"));
    }
    // Old configurations have relative ones, which count from the root.
    let slash = if text.starts_with('/') { "" } else { "/" };
    keep::text([slash, text].concat()).ok_or_else(|| target.fault("this must not hold a NUL"))
}
