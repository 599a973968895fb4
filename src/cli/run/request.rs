//! What was asked for, checked, and from it the [`Spec`].

use super::environment::{DEFAULT_PATH, Environment};
use super::image::{self, Image};
use super::metadata::Metadata;
use super::namespace::Joined;
use super::privilege::Security;
use super::volume::{self, Content, Volume};
use super::{
    Checked, Parse, Why, confinement, device, each, given, keep, namespace, network, privilege, quantity,
    refuse, resource,
};
use crate::cli::argv::Sorted;
use crate::cli::input;
use crate::cli::message::Failure;
use crate::cli::volume::cannot;
use crate::store::{Claim, Store};
use pipkin::spec::{
    Account, Capabilities, Confinement, DEFAULT_MASKED, DEFAULT_MOUNTS, DEFAULT_READONLY, Id, Join, Mapping,
    Mount, MountOption, Process, Resources, Root, RootSource, Source, Spec, Start, Sysctl, Tuning, Upper,
    User, WindowSize,
};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// A container that was asked for. Everything in it was checked as far as that needs no privilege.
pub(super) struct Request<'a> {
    /// The container.
    pub(super) spec: Spec<'a>,
    /// Its name; empty when it has none.
    pub(super) name: &'a str,
    /// The image as it was typed.
    pub(super) image: &'a OsStr,
    /// Whether it goes away when it ends.
    pub(super) remove: bool,
    /// What asks it to end, where the image says it.
    pub(super) stop_signal: Option<u8>,
    /// Files to write into its own directory before it is made.
    pub(super) files: Vec<network::File>,
    /// Sources of binds that do not exist and are to be made.
    missing: Vec<&'static CStr>,
    /// Volumes by their names.
    pub(super) volumes: Vec<&'a str>,
    /// The ranges of ids that are its own, until it is there.
    pub(super) claim: Option<Claim>,
    /// Keeps a stored image from being removed.
    _image: Image,
}

/// The directories of one container.
#[derive(Clone, Copy)]
pub(super) struct Directories<'a> {
    /// Where stored images are.
    pub(super) images: &'a Path,
    /// Where the root is put together; `upper` and `work` in it are the writable layer. It exists when the
    /// container is made.
    pub(super) own: &'a Path,
    /// Where volumes are.
    pub(super) volumes: &'a Path,
    /// Where is what containers share of the network.
    pub(super) networks: &'a Path,
    /// The namespaces of the containers that `container:NAME` names.
    pub(super) joined: Joined,
    /// Where ranges of ids are claimed; not for one that is only to be told of.
    pub(super) claims: Option<&'a Store>,
    /// Whether a container is on a bridge when nothing else is asked for.
    pub(super) bridge_is_usual: bool,
}

impl<'a> Request<'a> {
    /// Checks what was typed after `run`, for a container called `id`.
    pub(super) fn new(typed: &Sorted<'a>, id: Id, directories: Directories<'_>) -> Checked<Self> {
        let usage = |line| Failure::usage("run", line);
        let (image, command) = typed.operands.split_first().ok_or_else(|| usage("an IMAGE is needed"))?;
        if typed.has("--json") && !typed.has("--dry-run") {
            return Err(usage("--json needs --dry-run: what else is printed is the container's own"));
        }
        let mut found = image::find(image, directories.images)?;
        let root = root(typed, &mut found, directories.own)?;
        let mut claim = directories.claims.map(|store| Claim::new(store, id));
        let mut namespaces = namespace::namespaces(typed, &directories.joined, &id, claim.as_mut())?;
        let Mounts { mut mounts, missing, volumes } = mounts(typed, directories.volumes)?;
        let hostname = match given(typed, "--hostname", host_name)? {
            None if namespaces.uts == Join::New => host_name(id.as_str()).ok(),
            given => given,
        };
        let name = given(typed, "--name", name)?.unwrap_or_default();
        let host = hostname.map_or(id.as_str().as_bytes(), CStr::to_bytes);
        let names = [host, if name.as_bytes() == host { b"" } else { name.as_bytes() }];
        let (join, network) = network::network(typed, &names, &directories)?;
        namespaces.network = join;
        let files = network::files(typed, &id, hostname, (join, &network), &directories, &mut mounts)?;
        let mut sysctls = Vec::from_iter(network::for_ping(&network, namespaces.user.as_ref()));
        sysctls.extend(each(typed, "--sysctl", sysctl)?);
        let walls = security(typed)?;
        let (open, own_users) = (walls.0.open, namespaces.user.is_some());
        let process = process(typed, command, &root, (hostname, own_users), &found.metadata, walls)?;
        let (mut devices, mut rules) = (Vec::new(), Vec::new());
        for text in typed.all("--device") {
            devices.push(device::device(text, process.capabilities.bounding, &mut rules)?);
        }
        let spec = Spec {
            id,
            root,
            process,
            init: typed.has("--init"),
            namespaces,
            network,
            hostname,
            domainname: given(typed, "--domainname", host_name)?,
            mounts: keep::list(mounts),
            devices: keep::list(devices),
            sysctls: keep::list(sysctls),
            masked: if open { &[] } else { &DEFAULT_MASKED },
            readonly: if open { &[] } else { &DEFAULT_READONLY },
            resources: Resources { access: keep::list(rules), ..resource::resources(typed)? },
            handovers: &[],
            cgroup: None,
            managed: false,
            start: Start::AtOnce,
        };
        let stop_signal = found.metadata.stop_signal;
        Ok(Self {
            spec,
            name,
            image,
            remove: typed.has("--rm"),
            stop_signal,
            files,
            missing,
            volumes,
            claim,
            _image: found,
        })
    }

    /// Makes the directories that `-v` names and that are not there, as docker does.
    pub(super) fn make_sources(&self) -> Checked<()> {
        self.missing.iter().try_for_each(|path| {
            let made = std::fs::create_dir_all(OsStr::from_bytes(path.to_bytes()));
            made.map_err(|error| Failure::io("make the directory", path.to_bytes(), &error))
        })
    }

    /// Makes its volumes unless they are there, and keeps them from being removed as long as the answer is held.
    pub(super) fn hold_volumes(&self, store: &Store) -> Checked<Vec<OwnedFd>> {
        let mut held = Vec::new();
        for name in &self.volumes {
            held.push(store.hold_volume(name).map_err(|error| cannot("use the volume", name, &error))?);
        }
        Ok(held)
    }

    /// The command and its arguments, joined by blanks, for showing.
    pub(super) fn command(&self) -> OsString {
        let words: Vec<&[u8]> = self.spec.process.args.list.iter().map(|word| word.to_bytes()).collect();
        OsString::from_vec(words.join(&b' '))
    }
}

/// The image under the layers laid over it, and where changes go.
fn root(typed: &Sorted<'_>, image: &mut Image, own: &Path) -> Checked<Root<'static>> {
    let scratch = image.layers.is_empty();
    for layer in typed.all("--layer") {
        if scratch {
            return Err(refuse("--layer", layer, "scratch is no directory to lay it over: name an image"));
        }
        image.layers.push(image::directory("use the layer", OsStr::new(layer))?);
    }
    // A path made of our own directories and an id holds no NUL.
    let staging = keep::text(own.as_os_str().as_bytes()).unwrap_or_default();
    let upper = if typed.has("--ephemeral") { Upper::Tmpfs } else { Upper::Directory(staging) };
    let source = if scratch {
        RootSource::Scratch
    } else {
        let lower = keep::list(image.layers.iter().rev().copied().collect());
        RootSource::Layers { lower, upper, volatile: typed.has("--rm") }
    };
    Ok(Root { source, staging, readonly: typed.has("--read-only") })
}

/// A name can stand where an id can.
pub(super) fn name(text: &str) -> Result<&str, Why> {
    // With a dash in front it could not be typed after `rm`.
    let known = Id::new(text.as_bytes()).filter(|_| !text.starts_with('-')).map(|_| text);
    known.ok_or("give letters, digits, '_', '.', '+' and '-', with no dot or dash in front")
}

/// What the kernel takes as a name of a host or domain and other programs can read.
fn host_name(text: &str) -> Result<&'static CStr, Why> {
    // __NEW_UTS_LEN, linux/utsname.h
    const LONGEST: usize = 64;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    let good = begins && text.len() <= LONGEST && text.bytes().all(plain);
    let kept = if good { keep::text(text) } else { None };
    kept.ok_or("give up to 64 letters, digits, '-', '_' and '.', not '-' or '.' in front")
}

/// What all `--security-opt` say together.
fn security<'a>(typed: &Sorted<'a>) -> Checked<(Security<'a>, Confinement<'static>)> {
    let (mut security, mut asked) = (Security::default(), confinement::Asked::default());
    for text in typed.all("--security-opt") {
        let refused = |why| refuse("--security-opt", text, why);
        if !asked.take(text).map_err(refused)? {
            security.take(text).map_err(refused)?;
        }
    }
    let confinement = asked.confinement().map_err(|why| refuse("--security-opt", "landlock", why))?;
    Ok((security, confinement))
}

fn process<'a>(
    typed: &Sorted<'a>,
    command: &[&'a OsStr],
    root: &Root<'_>,
    (hostname, own_users): (Option<&CStr>, bool),
    image: &Metadata,
    (security, confinement): (Security<'a>, Confinement<'static>),
) -> Checked<Process<'a>> {
    let environment = environment(typed, hostname, image)?;
    let home = environment.get(b"HOME").is_none().then(keep::slot);
    let path = keep::list(environment.get(b"PATH").unwrap_or(DEFAULT_PATH).to_vec());
    // Nothing in it holds a NUL: what came from arguments cannot, what came from files was looked through.
    let variables = environment.into_variables().into_iter().filter_map(keep::text).collect();
    let (add, drop): (Vec<_>, Vec<_>) = (typed.all("--cap-add").collect(), typed.all("--cap-drop").collect());
    // The first process of a user namespace has all there are.
    let of = given(typed, "--user", user)?.or(image.user).unwrap_or_else(|| usual_user(typed));
    let every = if own_users { pipkin::host::known_capabilities } else { pipkin::host::own_capabilities };
    let capabilities = privilege::capabilities(&add, &drop, every)
        .map_err(|(name, why)| refuse("--cap-add or --cap-drop", name, &why))?;
    Ok(Process {
        args: keep::strings(arguments(typed, command, root, image), None),
        env: keep::strings(variables, home),
        path,
        home,
        cwd: given(typed, "--workdir", workdir)?.or(image.directory).unwrap_or(c"/"),
        user: User { additional: keep::list(each(typed, "--group-add", group)?), ..of },
        umask: 0o022,
        capabilities: Capabilities { secure_bits: security.secure_bits, ..Capabilities::plain(capabilities) },
        no_new_privileges: security.no_new_privileges(),
        filter: security.seccomp().filter(capabilities)?,
        rlimits: keep::list(each(typed, "--ulimit", privilege::rlimit)?),
        oom_score_adj: given(typed, "--oom-score-adj", quantity::oom_score)?,
        terminal: typed.has("--tty").then(window_size),
        stdin: typed.has("--interactive"),
        tuning: Tuning { preserved: preserved(typed)?, ..Tuning::PLAIN },
        confinement,
    })
}

/// Descriptors that the command gets; a supervisor would keep them open.
fn preserved(typed: &Sorted<'_>) -> Checked<u32> {
    match typed.last("--preserve-fds") {
        None => Ok(0),
        Some(text) if typed.has("--detach") => {
            Err(refuse("--preserve-fds", text, "a container in the background gets none"))
        }
        Some(text) => input::descriptors(text, 0),
    }
}

pub(super) fn user(text: &str) -> Result<User<'_>, Why> {
    User::parse(text.as_bytes()).ok_or("give a name or a number, and maybe ':' and a group")
}

fn group(text: &str) -> Result<Account<'_>, Why> {
    Account::parse(text.as_bytes()).ok_or("give a name or a number")
}

/// Root; with `keep-id` whoever calls.
fn usual_user(typed: &Sorted<'_>) -> User<'static> {
    if typed.last("--userns") != Some("keep-id") {
        return User::ROOT;
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    User { user: Account::Id(uid), group: Some(Account::Id(gid)), additional: &[], exact: false }
}

pub(super) fn workdir(text: &str) -> Result<&'static CStr, Why> {
    let kept = if text.starts_with('/') { keep::text(text) } else { None };
    kept.ok_or("give an absolute path")
}

/// The entry point and the command; without both a shell, or in the embedded image the probe. What is typed replaces
/// what the image says, and an entry point that is typed its command as well.
fn arguments(
    typed: &Sorted<'_>,
    command: &[&OsStr],
    root: &Root<'_>,
    image: &Metadata,
) -> Vec<&'static CStr> {
    // Arguments of a program hold no NUL.
    let kept = |word: &OsStr| keep::text(word.as_bytes());
    let entrypoint = typed.last("--entrypoint").map(OsStr::new);
    let mut words = match entrypoint {
        Some(program) => kept(program).filter(|program| !program.is_empty()).into_iter().collect(),
        None => image.entrypoint.clone(),
    };
    if command.is_empty() && entrypoint.is_none() {
        words.extend(&image.command);
    }
    words.extend(command.iter().filter_map(|word| kept(word)));
    match (words.is_empty(), root.source) {
        (false, _) => words,
        (true, RootSource::Scratch) => vec![c"/pipkin", c"probe"],
        (true, RootSource::Layers { .. } | RootSource::Directory { .. }) => vec![c"/bin/sh"],
    }
}

fn environment(typed: &Sorted<'_>, hostname: Option<&CStr>, image: &Metadata) -> Checked<Environment> {
    let mut environment = Environment::default();
    environment.set(b"PATH", DEFAULT_PATH);
    if let Some(name) = hostname {
        environment.set(b"HOSTNAME", name.to_bytes());
    }
    if typed.has("--tty") {
        environment.set(b"TERM", b"xterm");
    }
    for variable in &image.environment {
        // One without a value would pass on the caller's: an image has no say in that.
        let set = environment.option(variable.to_bytes(), &|_| None);
        set.map_err(|why| Failure::new("set the image's variable", variable.to_bytes(), why.as_bytes()))?;
    }
    variables(typed, &mut environment)?;
    Ok(environment)
}

/// Sets what `--env-file` and then `--env` say.
pub(super) fn variables(typed: &Sorted<'_>, environment: &mut Environment) -> Checked<()> {
    let caller = |name: &[u8]| std::env::var_os(OsStr::from_bytes(name)).map(OsString::into_vec);
    for path in typed.all("--env-file") {
        let fail = |error: std::io::Error| Failure::io("read the variables in", path.as_bytes(), &error);
        let contents = input::file(path).map_err(fail)?;
        environment.file(&contents, &caller).map_err(|(line, why)| {
            refuse("--env-file", path, &["line ", &line.to_string(), ": ", why].concat())
        })?;
    }
    for text in typed.all("--env") {
        environment.option(text.as_bytes(), &caller).map_err(|why| refuse("--env", text, why))?;
    }
    Ok(())
}

/// The size of the caller's terminal, or the usual one where there is none.
pub(super) fn window_size() -> WindowSize {
    for stream in pipkin::sys::stdio::Stream::ALL {
        match rustix::termios::tcgetwinsize(stream.fd()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                return WindowSize { rows: size.ws_row, columns: size.ws_col };
            }
            _ => {}
        }
    }
    WindowSize { rows: 24, columns: 80 }
}

fn sysctl(text: &str) -> Result<Sysctl<'static>, Why> {
    let pair = text.split_once('=').and_then(|(name, value)| keep::text(name).zip(keep::text(value)));
    pair.map(|(name, value)| Sysctl { name, value }).ok_or("give NAME=VALUE")
}

/// What is mounted, the sources of binds that have to be made first, and the names of volumes.
struct Mounts<'a> {
    mounts: Vec<Mount<'static>>,
    missing: Vec<&'static CStr>,
    volumes: Vec<&'a str>,
}

/// The usual mounts, then those asked for; one asked for in the place of a usual one takes its turn.
fn mounts<'a>(typed: &Sorted<'a>, place: &Path) -> Checked<Mounts<'a>> {
    let options: [(&str, Parse<'_, Volume<'a>>); 3] =
        [("--volume", volume::volume), ("--mount", volume::mount), ("--tmpfs", |text| volume::tmpfs(text))];
    let mut mounts = DEFAULT_MOUNTS.to_vec();
    let (mut missing, mut volumes, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for (name, parse) in options {
        for text in typed.all(name) {
            let volume = parse(text).map_err(|why| refuse(name, text, why))?;
            if taken.contains(&volume.target) {
                return Err(refuse(name, text, "something else is to be mounted there already"));
            }
            taken.push(volume.target);
            if let Content::Volume(name) = volume.content {
                volumes.push(name);
            }
            let mount = mount(&volume, place, &mut missing).map_err(|why| refuse(name, text, why))?;
            match mounts.iter_mut().find(|usual| usual.target == mount.target) {
                Some(usual) => *usual = mount,
                None => mounts.push(mount),
            }
        }
    }
    if typed.last("--ipc") == Some("host") {
        share_memory(&mut mounts);
    }
    if let Some(size) = given(typed, "--shm-size", quantity::size)? {
        limit_memory(&mut mounts, size).ok_or_else(|| {
            refuse(
                "--shm-size",
                typed.last("--shm-size").unwrap_or_default(),
                "something else is to be mounted on /dev/shm",
            )
        })?;
    }
    Ok(Mounts { mounts, missing, volumes })
}

const SHARED_MEMORY: &CStr = c"/dev/shm";

/// The container's own shared memory; `None` when something else is in its place.
fn shared_memory<'m>(mounts: &'m mut [Mount<'static>]) -> Option<&'m mut Mount<'static>> {
    mounts.iter_mut().find(|mount| mount.target == SHARED_MEMORY && DEFAULT_MOUNTS.contains(mount))
}

/// Puts the host's shared memory in its place, unless the host has none.
fn share_memory(mounts: &mut [Mount<'static>]) {
    if let Some(own) = shared_memory(mounts).filter(|_| rustix::fs::stat(SHARED_MEMORY).is_ok()) {
        own.source = Source::Bind { path: SHARED_MEMORY, recursive: false, mapped: None, volume: false };
    }
}

/// Gives it another size, in bytes; `None` when something else is in its place.
fn limit_memory(mounts: &mut [Mount<'static>], size: u64) -> Option<()> {
    let Source::FileSystem { options, .. } = &mut shared_memory(mounts)?.source else { return None };
    let size = MountOption::Value(c"size", keep::text(size.to_string())?);
    let others =
        options.iter().filter(|option| !matches!(option, MountOption::Value(name, _) if *name == c"size"));
    *options = keep::list(others.copied().chain([size]).collect());
    Some(())
}

fn mount(volume: &Volume<'_>, place: &Path, missing: &mut Vec<&'static CStr>) -> Result<Mount<'static>, Why> {
    let Volume { content, target, attributes, propagation } = *volume;
    const NO_PATH: Why = "it has no absolute path";
    let source = match content {
        Content::Volume(name) => {
            let path = keep::path(place.join(name).as_os_str().as_bytes()).ok_or(NO_PATH)?;
            Source::Bind { path, recursive: false, mapped: None, volume: true }
        }
        Content::Tmpfs(options) => Source::FileSystem { kind: c"tmpfs", options },
        Content::Bind { source, create, recursive, mapped } => {
            let path = keep::path(source.as_bytes()).ok_or(NO_PATH)?;
            if let Err(Errno::NOENT) = rustix::fs::stat(path) {
                if !create {
                    return Err("the source does not exist");
                }
                missing.push(path);
            }
            Source::Bind { path, recursive, mapped: mapped.then_some(Mapping::CONTAINER), volume: false }
        }
    };
    Ok(Mount { target, source, attributes, propagation })
}
