//! Every step in words and as data, from one description.

use super::network;
use super::step::{Groups, HostStep, MapWriter, Step};
use super::value::Value;
use crate::spec::{Account, Device, DeviceKind, IdMap, Propagation, Upper};
use ufmt::uWrite;

/// A named value.
pub type Field<'a> = (&'static str, Value<'a>);

/// What a step does: a name, a sentence with `{field}` where the fields go, and the fields.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// The step's name, stable for scripts: `mount`.
    pub name: &'static str,
    /// The sentence; a part in `[…]` is left out when a field in it has nothing to say.
    pub sentence: &'static str,
    /// The fields in order.
    pub fields: heapless::Vec<Field<'a>, 9>,
}

impl<'a> Description<'a> {
    pub(super) fn new<const N: usize>(
        name: &'static str,
        sentence: &'static str,
        fields: [Field<'a>; N],
    ) -> Self {
        const { assert!(N <= 9, "more fields than a description holds") };
        Self { name, sentence, fields: fields.into_iter().collect() }
    }

    /// Writes the sentence with its fields filled in.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write<W: uWrite + ?Sized>(&self, out: &mut W) -> Result<(), W::Error> {
        let mut rest = self.sentence;
        while let Some(open) = rest.find(['{', '[']) {
            let (before, tail) = rest.split_at(open);
            out.write_str(before)?;
            let close = if tail.starts_with('{') { '}' } else { ']' };
            let (inside, after) = tail.get(1..).and_then(|tail| tail.split_once(close)).unwrap_or((tail, ""));
            if close == '}' {
                self.write_field(inside, out)?;
            } else if self.is_told(inside) {
                Self { sentence: inside, ..self.clone() }.write(out)?;
            }
            rest = after;
        }
        out.write_str(rest)
    }

    fn field(&self, name: &str) -> Option<Value<'a>> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }

    fn write_field<W: uWrite + ?Sized>(&self, name: &str, out: &mut W) -> Result<(), W::Error> {
        self.field(name).map_or(Ok(()), |value| value.write(out))
    }

    /// Whether every field of an optional part has something to say.
    fn is_told(&self, part: &str) -> bool {
        part.split('{')
            .skip(1)
            .filter_map(|tail| tail.split_once('}'))
            .all(|(name, _)| self.field(name).is_some_and(|value| !value.is_nothing()))
    }
}

pub(super) fn propagation_name(propagation: Option<Propagation>) -> Value<'static> {
    Value::Bytes(match propagation {
        None => b"",
        Some(Propagation::Private) => b"private",
        Some(Propagation::Slave) => b"slave",
        Some(Propagation::Shared) => b"shared",
        Some(Propagation::Unbindable) => b"unbindable",
    })
}

fn account<'a>(account: Option<Account<'a>>) -> Value<'a> {
    match account {
        Some(Account::Id(id)) => Value::Number(id.into()),
        Some(Account::Name(name)) => Value::Bytes(name),
        None => Value::Bytes(b""),
    }
}

fn describe_mapping<'a>(
    path: &'a core::ffi::CStr,
    maps: Option<(&'a [IdMap], &'a [IdMap])>,
) -> Description<'a> {
    let path = ("path", Value::Bytes(path.to_bytes()));
    match maps {
        None => Description::new("map-source", "let the files of {path} have the container's ids", [path]),
        Some((uids, gids)) => Description::new(
            "map-source",
            "show the files of {path} by user ids {uids} and group ids {gids}",
            [path, ("uids", Value::IdMaps(uids)), ("gids", Value::IdMaps(gids))],
        ),
    }
}

impl<'a> HostStep<'a> {
    /// The step in words and as data.
    #[must_use]
    pub fn describe(&'a self) -> Description<'a> {
        let text = |text: &'static str| Value::Bytes(text.as_bytes());
        match self {
            Self::CreateCgroup(path) => Description::new(
                "create-cgroup",
                "create the container's cgroup[ {path}]",
                [("path", Value::Bytes(path.map_or(b"", core::ffi::CStr::to_bytes)))],
            ),
            Self::EnableController(name) => {
                let sentence = "make the {controller} controller usable in it";
                Description::new("enable-controller", sentence, [("controller", text(name))])
            }
            Self::SetLimit { file, value } => Description::new(
                "set-limit",
                "write {value} to {file}",
                [("file", text(file)), ("value", Value::Bytes(value.as_bytes()))],
            ),
            Self::OpenNamespace { kind, path } => Description::new(
                "open-namespace",
                "open the {kind} namespace {path}",
                [("kind", text(kind)), ("path", Value::Bytes(path.to_bytes()))],
            ),
            Self::EnterPidNamespace(path) => Description::new(
                "enter-pid-namespace",
                "enter the pid namespace {path}",
                [("path", Value::Bytes(path.to_bytes()))],
            ),
            Self::GiveLayer { directory, uid, gid } => Description::new(
                "give-layer",
                "give the writable layer in {path} to user {uid} and group {gid}",
                [
                    ("path", Value::Bytes(directory.to_bytes())),
                    ("uid", Value::Number((*uid).into())),
                    ("gid", Value::Number((*gid).into())),
                ],
            ),
            Self::OpenSource { path, recursive } => describe_source(path, *recursive),
            Self::MapSource { path, maps, .. } => describe_mapping(path, *maps),
            Self::Clone { namespaces, cgroup } => Description::new(
                "clone",
                "make the child[ in new namespaces: {namespaces}][, born inside the cgroup{cgroup}]",
                [("namespaces", Value::Namespaces(*namespaces)), ("cgroup", Value::Yes(*cgroup))],
            ),
            Self::WriteIdMaps { uids, gids, writer } => Description::new(
                "write-id-maps",
                "map user ids {uids} and group ids {gids}[ by newuidmap and newgidmap{helper}]",
                [
                    ("uids", Value::IdMaps(uids)),
                    ("gids", Value::IdMaps(gids)),
                    ("helper", Value::Yes(*writer == MapWriter::Helper)),
                ],
            ),
            Self::Release => Description::new("release", "let the waiting child go on", []),
            Self::Supervise => Description::new("supervise", "forward signals and wait for the end", []),
            Self::LeaseAddresses { .. }
            | Self::EnsureBridge { .. }
            | Self::ConnectInterface { .. }
            | Self::StartPasta(_)
            | Self::AwaitPasta
            | Self::PublishPorts(_) => network::describe(self),
            _ => self.describe_engine(),
        }
    }
}

impl<'a> Step<'a> {
    /// The step in words and as data.
    #[must_use]
    pub fn describe(&self) -> Description<'a> {
        match *self {
            Self::AwaitIdMaps => Description::new("await-id-maps", "wait for the id maps", []),
            Self::BecomeRoot { groups } => Description::new(
                "become-root",
                "become root of the user namespace[, without further groups{groups}]",
                [("groups", Value::Yes(groups))],
            ),
            Self::DieWithParent => Description::new("die-with-parent", "die when Pipkin dies", []),
            Self::OomScoreAdj(score) => {
                let fields = [("score", Value::Signed(score.into()))];
                Description::new("oom-score-adj", "set the out-of-memory score adjustment to {score}", fields)
            }
            Self::JoinNamespace { kind, path, .. } => Description::new(
                "join-namespace",
                "enter the {kind} namespace {path}",
                [("kind", Value::Bytes(kind.as_bytes())), ("path", Value::Bytes(path.to_bytes()))],
            ),
            Self::UnshareCgroup => {
                Description::new("unshare-cgroup", "see the container's own cgroup as the root of all", [])
            }
            Self::IsolateMounts => {
                Description::new("isolate-mounts", "keep every mount made from here on off the host", [])
            }
            Self::ShieldProgram => Description::new(
                "shield-program",
                "let nobody look into this process or reach its program file",
                [],
            ),
            Self::OpenNull => {
                Description::new("open-null", "take hold of the verified null device, for masks", [])
            }
            _ => self.describe_mount(),
        }
    }

    fn describe_mount(&self) -> Description<'a> {
        let path = |path: &'a core::ffi::CStr| Value::Bytes(path.to_bytes());
        match *self {
            Self::OpenSource { path, recursive, .. } => describe_source(path, recursive),
            Self::MountOverlay { lower, upper, volatile, .. } => {
                let upper = match upper {
                    Upper::Directory(directory) => path(directory),
                    Upper::Tmpfs => Value::Bytes(b"memory"),
                };
                Description::new(
                    "mount-overlay",
                    "build the root from {lower}, changes kept in {upper}[ without syncing{volatile}]",
                    [("lower", Value::Paths(lower)), ("upper", upper), ("volatile", Value::Yes(volatile))],
                )
            }
            Self::MountScratch { .. } => {
                Description::new("mount-scratch", "build an empty root in memory that holds only /pipkin", [])
            }
            Self::PivotRoot => {
                Description::new("pivot-root", "make it the root and let go of the host's", [])
            }
            Self::CreateFileSystem { slot, kind, options, target, .. } => Description::new(
                "create-file-system",
                "make {type}[ with {options}] for {target}, as held source {source}",
                [
                    ("type", path(kind)),
                    ("options", Value::Options(options)),
                    ("target", path(target)),
                    ("source", Value::Number(slot.into())),
                ],
            ),
            Self::MountFileSystem { kind, options, target, attributes, propagation, .. } => Description::new(
                "mount",
                "mount {type} on {target}[ ({attributes})][ with {options}][, propagation {propagation}]",
                [
                    ("type", path(kind)),
                    ("target", path(target)),
                    ("attributes", Value::Attributes(attributes.set | attributes.set_recursive)),
                    ("options", Value::Options(options)),
                    ("propagation", propagation_name(propagation)),
                ],
            ),
            Self::Attach { slot, target, attributes, propagation, volume } => Description::new(
                "attach",
                "attach held source {source} at {target}[ ({attributes})][, and below it ({recursive})][, propagation {propagation}][, as long as it is empty with a copy of what lies there{volume}]",
                [
                    ("source", Value::Number(slot.into())),
                    ("target", path(target)),
                    ("attributes", Value::Attributes(attributes.set)),
                    ("recursive", Value::Attributes(attributes.set_recursive)),
                    ("propagation", propagation_name(propagation)),
                    ("volume", Value::Yes(volume)),
                ],
            ),
            Self::MakeDevice(device) => describe_device(&device),
            Self::Link { target, path: at } => Description::new(
                "link",
                "link {path} to {target}",
                [("path", path(at)), ("target", path(target))],
            ),
            Self::Mask(hidden) => Description::new("mask", "mask {path}", [("path", path(hidden))]),
            Self::MakeReadOnly(closed) => {
                Description::new("read-only", "make {path} read-only", [("path", path(closed))])
            }
            Self::MakeRootReadOnly => Description::new("root-read-only", "make the root read-only", []),
            _ => self.describe_process(),
        }
    }

    fn describe_process(&self) -> Description<'a> {
        let text = |text: &'a core::ffi::CStr| Value::Bytes(text.to_bytes());
        match *self {
            Self::OpenTerminal(size) => Description::new(
                "open-terminal",
                "open a pseudo-terminal of {rows} lines by {columns} characters",
                [("rows", Value::Number(size.rows.into())), ("columns", Value::Number(size.columns.into()))],
            ),
            Self::SetSysctl { name, value } => Description::new(
                "set-sysctl",
                "set {name} to {value}",
                [("name", text(name)), ("value", text(value))],
            ),
            Self::SetHostname(name) => {
                Description::new("set-hostname", "set the host name to {name}", [("name", text(name))])
            }
            Self::SetDomainname(name) => Description::new(
                "set-domainname",
                "set the NIS domain name to {name}",
                [("name", text(name))],
            ),
            Self::RaiseLoopback => Description::new("raise-loopback", "bring up the loopback interface", []),
            Self::AwaitHost => Description::new("await-host", "wait until the host's part is done", []),
            Self::NewSession => Description::new(
                "new-session",
                "start a session with keys, signals and descriptors of its own",
                [],
            ),
            Self::CloseStdin => {
                Description::new("close-stdin", "read nothing: standard input is /dev/null", [])
            }
            Self::ChangeDirectory(path) => {
                Description::new("change-directory", "go to {path}", [("path", text(path))])
            }
            Self::SetRlimit(limit) => {
                let value = |limit: Option<u64>| limit.map_or(Value::Unlimited, Value::Number);
                let fields = [
                    ("limit", Value::Bytes(limit.kind.name().as_bytes())),
                    ("soft", value(limit.soft)),
                    ("hard", value(limit.hard)),
                ];
                Description::new("set-rlimit", "limit {limit} to {soft} (at most {hard})", fields)
            }
            _ => self.describe_end(),
        }
    }

    fn describe_end(&self) -> Description<'a> {
        let text = |text: &'a core::ffi::CStr| Value::Bytes(text.to_bytes());
        match *self {
            Self::SetUmask(mask) => {
                Description::new("set-umask", "set the umask to {mask}", [("mask", Value::Mode(mask))])
            }
            Self::BecomeUser { user, capabilities, groups } => Description::new(
                "become-user",
                "become user {user}[ in group {group}][ and Pipkin's own groups{inherited}] with the capabilities: {capabilities}[; securebits {securebits}]",
                [
                    ("user", account(Some(user.user))),
                    ("group", account(user.group)),
                    ("securebits", Value::Bits(capabilities.secure_bits)),
                    ("capabilities", Value::Capabilities(capabilities.effective)),
                    ("permitted", Value::Capabilities(capabilities.permitted)),
                    ("inheritable", Value::Capabilities(capabilities.inheritable)),
                    ("ambient", Value::Capabilities(capabilities.ambient)),
                    ("bounding", Value::Capabilities(capabilities.bounding)),
                    ("inherited", Value::Yes(groups == Groups::Inherited)),
                ],
            ),
            Self::ForbidNewPrivileges => {
                Description::new("forbid-new-privileges", "let no exec raise privileges", [])
            }
            Self::InstallFilter(filter) => Description::new(
                "install-filter",
                "install the seccomp filter of {origin}, {instructions} instructions",
                [
                    ("origin", Value::Bytes(filter.origin.as_bytes())),
                    ("instructions", Value::Number(u64::try_from(filter.program.len()).unwrap_or(u64::MAX))),
                ],
            ),
            Self::VerifyRoot => Description::new(
                "verify-root",
                "see from inside that root, mounts and masks are as planned",
                [],
            ),
            Self::VerifyProcess => Description::new(
                "verify-process",
                "see that capabilities, filter and no_new_privs are in force",
                [],
            ),
            Self::Execute { command, init } => Description::new(
                "execute",
                "run {command}[ under Pipkin as PID 1{init}]",
                [("command", text(command)), ("init", Value::Yes(init))],
            ),
            _ => self.describe_engine(),
        }
    }
}

fn describe_source(path: &core::ffi::CStr, recursive: bool) -> Description<'_> {
    Description::new(
        "open-source",
        "take hold of the host's {path}[ with all that is mounted below{recursive}]",
        [("path", Value::Bytes(path.to_bytes())), ("recursive", Value::Yes(recursive))],
    )
}

fn describe_device<'a>(device: &Device<'a>) -> Description<'a> {
    let kind: &[u8] = match device.kind {
        DeviceKind::Character => b"character device",
        DeviceKind::Block => b"block device",
        DeviceKind::Fifo => b"pipe",
    };
    Description::new(
        "make-device",
        "make {path}, {kind} {major}:{minor}, mode {mode}",
        [
            ("path", Value::Bytes(device.path.to_bytes())),
            ("kind", Value::Bytes(kind)),
            ("major", Value::Number(device.major.into())),
            ("minor", Value::Number(device.minor.into())),
            ("mode", Value::Mode(device.mode)),
            ("uid", Value::Number(device.uid.into())),
            ("gid", Value::Number(device.gid.into())),
        ],
    )
}
