//! `config.json` (OCI runtime-spec 1.0 to 1.3, config.md and config-linux.md), made into a [`Spec`].
//!
//! | module | duty |
//! |---|---|
//! | `schema` | which properties there are and what each must be |
//! | `process`, `mount`, `namespace`, `resource`, `device` | their meaning |
//! | `hook` | the engine's programs |
//!
//! Properties that are not known are passed over, as the specification demands; a value that cannot be had is a fault
//! that names its property, never passed over.

mod device;
mod hook;
mod mount;
mod namespace;
mod process;
mod resource;
mod schema;
#[cfg(test)]
mod tests;

pub(crate) use hook::hooks;
pub(crate) use mount::{is_recursive, known as mount_options};
pub(crate) use namespace::TYPES as NAMESPACES;
pub(crate) use process::{MEMORY_FLAGS, MEMORY_MODES, capabilities, filter, read as process};
pub(crate) use resource::resources;

use super::json::{self, Fault, Value};
use super::keep;
use pipkin::spec::{
    Capabilities, CapabilitySet, Handover, Id, Limit, Mount, Network, Propagation, Root, RootSource, Spec,
    Start, Sysctl,
};
use std::ffi::CStr;

/// The kinds of hooks.
pub(crate) const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// The newest version whose properties are known, as `(major, minor)`.
const NEWEST: (u32, u32) = (1, 3);

/// What a configuration is read for.
pub(crate) struct Context<'c> {
    /// The container's id.
    pub(crate) id: Id,
    /// The bundle's directory, absolute.
    pub(crate) bundle: &'c [u8],
    /// The running kernel's version, as `(6, 18)`.
    pub(crate) kernel: (u32, u32),
    /// How many descriptors from 3 on are passed through.
    pub(crate) preserved: u32,
    /// Whether the container keeps the caller's session keyring.
    pub(crate) keeps_keyring: bool,
    /// The capabilities that we have ourselves.
    pub(crate) held: CapabilitySet,
    /// Whether it is for a further process in a container that runs.
    pub(crate) further: bool,
}

/// Reads a configuration and checks the type of everything that is known.
///
/// # Errors
/// A sentence: where it is no JSON, what has another type, what is missing.
pub(crate) fn read(text: &[u8]) -> Result<Value<'_>, String> {
    read_as(text, schema::CONFIG)
}

/// Reads what `exec --process` names: the process alone.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_process(text: &[u8]) -> Result<Value<'_>, String> {
    let table = schema::CONFIG.split_once(schema::PROCESS).map_or("", |(_, table)| table);
    read_as(text, &["{ ", table].concat())
}

/// Reads what `update` is given: the resources alone.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_resources(text: &[u8]) -> Result<Value<'_>, String> {
    let table = schema::CONFIG.split_once(schema::RESOURCES).map_or("", |(_, table)| table);
    read_as(text, &["{ ", table].concat())
}

fn read_as<'t>(text: &'t [u8], kinds: &str) -> Result<Value<'t>, String> {
    let value = json::parse(text).map_err(|fault| fault.in_document(text))?;
    match schema::check(&mut kinds.split_ascii_whitespace(), Some(&value)).and_then(|()| version(&value)) {
        Ok(()) => Ok(value),
        Err(fault) => Err(sentence(&fault, &value, text)),
    }
}

/// The sentence for a fault in the document `text`: the property, the place, what is wrong.
pub(crate) fn sentence(fault: &Fault, value: &Value<'_>, text: &[u8]) -> String {
    let name = value.name_of(fault.at);
    let comma = if name.is_empty() { "" } else { ", " };
    [&name, comma, &fault.in_document(text)].concat()
}

fn version(value: &Value<'_>) -> Result<(), Fault> {
    let Some(given) = value.at("ociVersion") else { return Ok(()) };
    // What follows '-' or '+' is of no weight (Semantic Versioning 2.0.0).
    let mut parts = given.text()?.split(['-', '+']).next().unwrap_or_default().split('.');
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match (number(), number(), number(), parts.next()) {
        (Some(major), Some(minor), Some(_), None) if major == NEWEST.0 && minor <= NEWEST.1 => Ok(()),
        (Some(_), Some(_), Some(_), None) => {
            Err(given.fault("this version of the specification is not known: 1.0 to 1.3 are"))
        }
        _ => Err(given.fault("this must be a version such as 1.2.0")),
    }
}

/// The container that the configuration describes.
///
/// # Errors
/// The first value that has no meaning, or asks for what cannot be had.
pub(crate) fn spec(value: &Value<'_>, context: &Context<'_>) -> Result<Spec<'static>, Fault> {
    refuse_unknown_wishes(value)?;
    for kind in HOOKS {
        hooks(value, kind)?;
    }
    let namespaces = namespace::namespaces(value)?;
    let mut process = process::first(value, context)?;
    if namespaces.user.is_none() {
        process.capabilities = granted(process.capabilities, context.held);
    }
    let masked = paths(value, "linux.maskedPaths")?;
    let mut limits = resources(value.at("linux.resources"))?;
    // A new group has no limits and the usual weight: what asks for no more needs no controller.
    for limit in [&mut limits.memory_max, &mut limits.swap_max, &mut limits.pids_max] {
        *limit = limit.filter(|limit| *limit != Limit::Max);
    }
    limits.cpu_weight = limits.cpu_weight.filter(|weight| *weight != 100);
    limits.cpu_max = limits.cpu_max.filter(|cpu| cpu.quota != Limit::Max);
    Ok(Spec {
        id: context.id,
        root: root(value, context)?,
        process,
        init: false,
        namespaces,
        network: Network::NONE,
        handovers: keep::list(handovers(value)?),
        hostname: name(value, "hostname")?,
        domainname: name(value, "domainname")?,
        mounts: mounts(value, context)?,
        devices: keep::list(device::devices(value)?),
        sysctls: keep::list(sysctls(value)?),
        masked,
        readonly: paths(value, "linux.readonlyPaths")?,
        resources: limits,
        cgroup: cgroup(value)?,
        managed: false,
        start: Start::OnRequest {
            hooks: HOOKS[..3].iter().any(|kind| !value.elements(&["hooks.", kind].concat()).is_empty()),
        },
    })
}

/// What is part of the specification and not done here.
fn refuse_unknown_wishes(value: &Value<'_>) -> Result<(), Fault> {
    if let Some(wish) = value.at("linux.intelRdt").filter(|wish| !wish.members().is_empty()) {
        return Err(wish.fault("this cannot be had with Pipkin"));
    }
    match value.at("vm") {
        Some(wish) => Err(wish.fault("Pipkin makes no virtual machines")),
        None => Ok(()),
    }
}

/// A string as the kernel takes it. The schema let no NUL pass.
fn c_text(value: &Value<'_>) -> Result<&'static CStr, Fault> {
    keep::text(value.text()?).ok_or_else(|| value.fault("this must not hold a NUL"))
}

fn name(value: &Value<'_>, path: &str) -> Result<Option<&'static CStr>, Fault> {
    let Some(given) = value.at(path).filter(|given| given.text() != Ok("")) else { return Ok(None) };
    if given.text()?.len() > 64 {
        return Err(given.fault("the kernel takes names of up to 64 bytes"));
    }
    c_text(given).map(Some)
}

/// Interfaces of the host that the container is given.
fn handovers(value: &Value<'_>) -> Result<Vec<Handover<'static>>, Fault> {
    let mut handovers = Vec::new();
    for (from, given) in value.at("linux.netDevices").map(Value::members).unwrap_or_default() {
        let to = given.text_at("name").filter(|name| !name.is_empty()).unwrap_or(from);
        // The kernel's own rules for names (dev_valid_name); a pattern would leave us not knowing what it is called.
        let plain = |name: &str| {
            let bad = |byte: u8| byte.is_ascii_whitespace() || b"/:%\0".contains(&byte);
            (1..=15).contains(&name.len()) && !matches!(name, "." | "..") && !name.bytes().any(bad)
        };
        let names = keep::text(&**from).zip(keep::text(to)).filter(|_| plain(from) && plain(to));
        let names =
            names.ok_or_else(|| given.fault("an interface is called by 1 to 15 bytes without / : %"))?;
        handovers.push(Handover { from: names.0, to: names.1 });
    }
    Ok(handovers)
}

fn paths(value: &Value<'_>, path: &str) -> Result<&'static [&'static CStr], Fault> {
    let mut paths = Vec::new();
    for element in value.elements(path) {
        paths.push(c_text(element)?);
    }
    Ok(keep::list(paths))
}

fn sysctls(value: &Value<'_>) -> Result<Vec<Sysctl<'static>>, Fault> {
    let mut sysctls = Vec::new();
    for (name, setting) in value.at("linux.sysctl").map(Value::members).unwrap_or_default() {
        // Both spellings are in use: net.ipv4.ip_forward and net/ipv4/ip_forward.
        let dotted = name.replace('/', ".");
        let name = keep::text(dotted).ok_or_else(|| setting.fault("its name must not hold a NUL"))?;
        sysctls.push(Sysctl { name, value: c_text(setting)? });
    }
    Ok(sysctls)
}

/// `path` as seen from the bundle.
fn from_bundle(path: &str, context: &Context<'_>) -> Option<&'static CStr> {
    if path.starts_with('/') {
        return keep::text(path);
    }
    keep::text([context.bundle, b"/", path.as_bytes()].concat())
}

fn root(value: &Value<'_>, context: &Context<'_>) -> Result<Root<'static>, Fault> {
    let Some(path) = value.at("root.path") else { return Err(value.fault("root is missing")) };
    let staging = from_bundle(path.text()?, context).ok_or_else(|| path.fault("this must not hold a NUL"))?;
    let on_host = std::path::Path::new(std::ffi::OsStr::new(staging.to_str().unwrap_or_default()));
    if !on_host.symlink_metadata().is_ok_and(|about| about.is_dir()) {
        return Err(path.fault("this must be a directory that exists, and no link to one"));
    }
    let mut source = RootSource::Directory { propagation: None, recursive: false };
    if let Some(word) = value.at("linux.rootfsPropagation").filter(|word| word.text() != Ok("")) {
        let (propagation, recursive) = propagation(word.text()?).ok_or_else(|| {
            word.fault("give shared, slave, private or unbindable, maybe with 'r' in front")
        })?;
        source = RootSource::Directory { propagation: Some(propagation), recursive };
    }
    Ok(Root { source, staging, readonly: value.is_true("root.readonly") })
}

/// `private`, `rslave`, … and whether it goes for everything below.
fn propagation(word: &str) -> Option<(Propagation, bool)> {
    const WORDS: [(&str, Propagation); 4] = [
        ("private", Propagation::Private),
        ("slave", Propagation::Slave),
        ("shared", Propagation::Shared),
        ("unbindable", Propagation::Unbindable),
    ];
    let known = |word: &str| WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind);
    match known(word) {
        Some(kind) => Some((kind, false)),
        None => word.strip_prefix('r').and_then(known).map(|kind| (kind, true)),
    }
}

fn mounts(value: &Value<'_>, context: &Context<'_>) -> Result<&'static [Mount<'static>], Fault> {
    let mut mounts = Vec::new();
    for element in value.elements("mounts") {
        mounts.push(mount::mount(element, value, context)?);
    }
    Ok(keep::list(mounts))
}

/// Where its cgroup is. What no group is called is found out only after half of the path was made.
fn cgroup(value: &Value<'_>) -> Result<Option<&'static CStr>, Fault> {
    const LONGEST: usize = 1024;
    const DEEPEST: usize = 17;
    let Some(path) = value.at("linux.cgroupsPath") else { return Ok(None) };
    let text = path.text()?;
    let illegal = |name: &str| matches!(name, "." | "..") || name.len() > 255 || name.contains('\n');
    let depth = text.split('/').filter(|name| !name.is_empty()).count();
    let fits = text.len() <= LONGEST && depth <= DEEPEST && (depth > 0 || text.is_empty());
    if !fits || text.split('/').any(illegal) {
        let rule =
            "this must lead to a group below the root, by up to 17 names and 1024 bytes, without . and ..";
        return Err(path.fault(rule));
    }
    Ok(keep::text(text).filter(|_| !text.is_empty()))
}

/// The sets without what cannot be granted, as the specification demands.
pub(crate) fn granted(sets: Capabilities, held: CapabilitySet) -> Capabilities {
    let only = |set: CapabilitySet| CapabilitySet(set.0 & held.0);
    Capabilities {
        bounding: only(sets.bounding),
        effective: only(sets.effective),
        permitted: only(sets.permitted),
        inheritable: only(sets.inheritable),
        ambient: only(sets.ambient),
        ..sets
    }
}
