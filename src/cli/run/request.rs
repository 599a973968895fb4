//! What was asked for, checked, and from it the [`Spec`].

use super::environment::{DEFAULT_PATH, Environment};
use super::image::{self, Image};
use super::options::Options;
use super::volume::{self, Content, Volume};
use super::{Checked, device, given, keep, namespace, privilege, quantity, refuse, resource};
use crate::cli::argv::Sorted;
use crate::cli::kernel;
use crate::cli::message::Failure;
use pipkin::spec::{
    Capabilities, DEFAULT_MASKED, DEFAULT_MOUNTS, DEFAULT_READONLY, Device, Id, Join, Mount, Namespaces,
    Process, Resources, Root, RootSource, Source, Spec, Sysctl, Upper, User, WindowSize,
};
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A container that was asked for. Everything in it was checked as far as that needs no privilege.
pub(crate) struct Request {
    /// Its id.
    pub(crate) id: Id,
    /// Its name; empty when it has none.
    pub(crate) name: String,
    /// The image as it was typed.
    pub(crate) image: OsString,
    /// Whether it goes away when it ends.
    pub(crate) remove: bool,
    /// Whether only to tell what would be done, and whether as JSON.
    pub(crate) dry_run: bool,
    pub(crate) json: bool,
    found: Image,
    ephemeral: bool,
    readonly: bool,
    init: bool,
    process: Process<'static>,
    namespaces: Namespaces<'static>,
    hostname: Option<&'static CStr>,
    domainname: Option<&'static CStr>,
    mounts: &'static [Mount<'static>],
    /// Sources of binds that do not exist and are to be made.
    missing: Vec<PathBuf>,
    devices: &'static [Device<'static>],
    sysctls: &'static [Sysctl<'static>],
    masked: &'static [&'static CStr],
    resources: Resources<'static>,
}

impl Request {
    /// Checks what was typed after `run`, for a container called `id`; named images are in `store`.
    pub(crate) fn new(typed: &Sorted<'_>, id: Id, store: &Path) -> Checked<Self> {
        let usage = |line: &str| Failure::usage("run", line);
        let options = Options::new(&typed.options).map_err(|line| usage(&line))?;
        let (image, command) = typed.operands.split_first().ok_or_else(|| usage("an IMAGE is needed"))?;
        if options.json && !options.dry_run {
            return Err(usage("--json needs --dry-run: a container's output is its own"));
        }
        let namespaces = namespace::namespaces(&options)?;
        let mut found = image::find(image, store)?;
        let scratch = found.layers.is_empty();
        for layer in &options.layer {
            if scratch {
                return Err(refuse(
                    "--layer",
                    layer,
                    "scratch is no directory to lay it over: name an image",
                ));
            }
            found.layers.push(image::directory("use the layer", OsStr::new(layer))?);
        }
        let (mounts, missing) = mounts(&options)?;
        let hostname = hostname(&options, &namespaces, &id)?;
        Ok(Self {
            id,
            name: given("--name", &options.name, name)?.unwrap_or_default().to_owned(),
            image: (*image).to_owned(),
            remove: options.rm,
            dry_run: options.dry_run,
            json: options.json,
            found,
            ephemeral: options.ephemeral,
            readonly: options.read_only,
            init: options.init,
            process: process(&options, command, scratch, hostname)?,
            namespaces,
            hostname,
            domainname: given("--domainname", &options.domainname, host_name)?,
            mounts: keep::list(mounts),
            missing,
            devices: keep::list(devices(&options)?),
            sysctls: keep::list(sysctls(&options)?),
            masked: keep::list(DEFAULT_MASKED.into_iter().chain(kernel::thermal_directories()).collect()),
            resources: resource::resources(&options)?,
        })
    }

    /// The container as plain data. `directory` exists when the container is made: its root is put together there,
    /// and `upper` and `work` in it are the writable layer.
    pub(crate) fn spec(&self, directory: &Path) -> Spec<'static> {
        let staging = keep::text(directory.as_os_str().as_bytes()).unwrap_or(c"");
        let source = if self.found.layers.is_empty() {
            RootSource::Scratch
        } else {
            let lower = keep::list(self.found.layers.iter().rev().copied().collect());
            let upper = if self.ephemeral { Upper::Tmpfs } else { Upper::Directory(staging) };
            RootSource::Layers { lower, upper, volatile: self.remove }
        };
        Spec {
            id: self.id,
            root: Root { source, staging, readonly: self.readonly },
            process: self.process,
            init: self.init,
            namespaces: self.namespaces,
            hostname: self.hostname,
            domainname: self.domainname,
            mounts: self.mounts,
            devices: self.devices,
            sysctls: self.sysctls,
            masked: self.masked,
            readonly: &DEFAULT_READONLY,
            resources: self.resources,
        }
    }

    /// Makes the directories that `-v` names and that are not there, as docker does.
    pub(crate) fn make_sources(&self) -> Checked<()> {
        self.missing.iter().try_for_each(|path| {
            let made = std::fs::create_dir_all(path);
            made.map_err(|error| Failure::io("make the directory", path.as_os_str().as_bytes(), &error))
        })
    }

    /// The command and its arguments, joined by blanks, for showing.
    pub(crate) fn command(&self) -> OsString {
        let words: Vec<&[u8]> = self.process.args.list.iter().map(|word| word.to_bytes()).collect();
        OsString::from_vec(words.join(&b' '))
    }
}

/// A name can stand where an id can.
fn name(text: &str) -> Result<&str, quantity::Why> {
    let known = Id::new(text.as_bytes()).map(|_| text);
    known.ok_or("give letters, digits, _ . + - and no dot in front")
}

/// What the kernel takes as a name of a host or domain and other programs can read.
fn host_name(text: &str) -> Result<&'static CStr, quantity::Why> {
    // __NEW_UTS_LEN, linux/utsname.h
    const LONGEST: usize = 64;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let good =
        !text.is_empty() && text.len() <= LONGEST && text.bytes().all(plain) && !text.starts_with(['-', '.']);
    let kept = if good { keep::text(text) } else { None };
    kept.ok_or("give up to 64 letters, digits, '-' and '.', a letter or digit in front")
}

/// The host name that was asked for, else the id as far as it fits; none where the names are the host's.
fn hostname(options: &Options, namespaces: &Namespaces<'_>, id: &Id) -> Checked<Option<&'static CStr>> {
    if let Some(name) = given("--hostname", &options.hostname, host_name)? {
        return Ok(Some(name));
    }
    Ok((namespaces.uts == Join::New).then(|| host_name(id.as_str()).ok()).flatten())
}

fn process(
    options: &Options,
    command: &[&OsStr],
    scratch: bool,
    hostname: Option<&CStr>,
) -> Checked<Process<'static>> {
    let environment = environment(options, hostname)?;
    let home = environment.get(b"HOME").is_none().then(keep::slot);
    let path = environment.get(b"PATH").unwrap_or(DEFAULT_PATH).to_vec().leak();
    // Nothing in it holds a NUL: what came from arguments cannot, what came from files was looked through.
    let variables = environment.into_variables().into_iter().filter_map(keep::text).collect();
    let security = options.security_opt.iter().try_fold(privilege::Security::DEFAULT, |security, text| {
        security.with(text).map_err(|why| refuse("--security-opt", text, why))
    })?;
    let capabilities = privilege::capabilities(&options.cap_add, &options.cap_drop)
        .map_err(|(name, why)| refuse("--cap-add or --cap-drop", name, why))?;
    let uncompiled = || Failure::new("compile the seccomp filter", b"", b"the program is too long");
    let filter = security.filter.then(|| privilege::filter(capabilities).ok_or_else(uncompiled));
    let limit = |text: &String| privilege::rlimit(text).map_err(|why| refuse("--ulimit", text, why));
    let user = given("--user", &options.user, |text| {
        User::parse(keep::word(text).as_bytes()).ok_or("give a name or number, maybe ':' and a group")
    })?;
    Ok(Process {
        args: keep::strings(arguments(options, command, scratch), None),
        env: keep::strings(variables, home),
        path,
        home,
        cwd: given("--workdir", &options.workdir, workdir)?.unwrap_or(c"/"),
        user: user.unwrap_or(User::ROOT),
        umask: 0o022,
        capabilities: Capabilities::plain(capabilities),
        no_new_privileges: security.no_new_privileges,
        filter: filter.transpose()?,
        rlimits: keep::list(options.ulimit.iter().map(limit).collect::<Checked<Vec<_>>>()?),
        oom_score_adj: given("--oom-score-adj", &options.oom_score_adj, |text| {
            quantity::signed(text, -1000, 1000).ok_or("give a number from -1000 to 1000")
        })?,
        terminal: options.tty.then(window_size),
        stdin: options.interactive,
    })
}

/// The entry point and the command; without both a shell, or in the embedded image the probe.
fn arguments(options: &Options, command: &[&OsStr], scratch: bool) -> Vec<&'static CStr> {
    let entrypoint = options.entrypoint.last().filter(|program| !program.is_empty());
    let given = entrypoint.map(|program| program.as_bytes()).into_iter();
    let words: Vec<_> =
        given.chain(command.iter().map(|word| word.as_bytes())).filter_map(keep::text).collect();
    match (words.is_empty(), scratch) {
        (false, _) => words,
        (true, false) => vec![c"/bin/sh"],
        (true, true) => vec![c"/pipkin", c"probe"],
    }
}

fn environment(options: &Options, hostname: Option<&CStr>) -> Checked<Environment> {
    let caller = |name: &[u8]| std::env::var_os(OsStr::from_bytes(name)).map(OsString::into_vec);
    let mut environment = Environment::default();
    environment.set(b"PATH", DEFAULT_PATH);
    if let Some(name) = hostname {
        environment.set(b"HOSTNAME", name.to_bytes());
    }
    if options.tty {
        environment.set(b"TERM", b"xterm");
    }
    for path in &options.env_file {
        let fail = |error: std::io::Error| Failure::io("read the variables in", path.as_bytes(), &error);
        let contents = std::fs::read(path).map_err(fail)?;
        environment.file(&contents, &caller).map_err(|(line, why)| {
            refuse("--env-file", path, &["line ", &line.to_string(), ": ", why].concat())
        })?;
    }
    for text in &options.env {
        environment.option(text.as_bytes(), &caller).map_err(|why| refuse("--env", text, why))?;
    }
    Ok(environment)
}

fn workdir(text: &str) -> Result<&'static CStr, quantity::Why> {
    let kept = if text.starts_with('/') { keep::text(text) } else { None };
    kept.ok_or("give an absolute path")
}

/// The size of the caller's terminal, or the usual one where there is none.
fn window_size() -> WindowSize {
    let usual = WindowSize { rows: 24, columns: 80 };
    for stream in pipkin::sys::stdio::Stream::ALL {
        match rustix::termios::tcgetwinsize(stream.fd()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                return WindowSize { rows: size.ws_row, columns: size.ws_col };
            }
            _ => {}
        }
    }
    usual
}

fn devices(options: &Options) -> Checked<Vec<Device<'static>>> {
    let parse = |text: &String| device::device(text).map_err(|why| refuse("--device", text, &why));
    options.device.iter().map(parse).collect()
}

fn sysctls(options: &Options) -> Checked<Vec<Sysctl<'static>>> {
    let parse = |text: &String| {
        let pair = text.split_once('=').and_then(|(name, value)| keep::text(name).zip(keep::text(value)));
        let (name, value) = pair.ok_or_else(|| refuse("--sysctl", text, "give NAME=VALUE"))?;
        Ok(Sysctl { name, value })
    };
    options.sysctl.iter().map(parse).collect()
}

/// The usual mounts, then those asked for; one asked for in the place of a usual one takes its turn. Also the
/// sources that have to be made first.
fn mounts(options: &Options) -> Checked<(Vec<Mount<'static>>, Vec<PathBuf>)> {
    let mut mounts = DEFAULT_MOUNTS.to_vec();
    let (mut missing, mut taken) = (Vec::new(), Vec::new());
    let mut add = |name: &str, text: &str, volume: Volume<'_>| {
        if taken.contains(&volume.target) {
            return Err(refuse(name, text, "something else is mounted there already"));
        }
        taken.push(volume.target);
        let mount = mount(&volume, &mut missing).map_err(|why| refuse(name, text, &why))?;
        match mounts.iter_mut().find(|usual| usual.target == mount.target) {
            Some(usual) => *usual = mount,
            None => mounts.push(mount),
        }
        Ok(())
    };
    let parsed =
        |name, text: &str, volume: Result<_, quantity::Why>| volume.map_err(|why| refuse(name, text, why));
    for text in &options.volume {
        add("--volume", text, parsed("--volume", text, volume::volume(text))?)?;
    }
    for text in &options.mount {
        add("--mount", text, parsed("--mount", text, volume::mount(text))?)?;
    }
    for text in &options.tmpfs {
        add("--tmpfs", text, parsed("--tmpfs", text, volume::tmpfs(text))?)?;
    }
    Ok((mounts, missing))
}

fn mount(volume: &Volume<'_>, missing: &mut Vec<PathBuf>) -> Result<Mount<'static>, String> {
    let Volume { ref content, target, attributes, propagation } = *volume;
    let source = match *content {
        Content::Tmpfs(options) => Source::FileSystem { kind: c"tmpfs", options },
        Content::Bind { source, create, recursive } => {
            let path = std::path::absolute(source).map_err(|error| error.to_string())?;
            let there = path.try_exists().unwrap_or(true);
            if !there && !create {
                return Err("the source does not exist".to_owned());
            }
            let kept = keep::text(path.as_os_str().as_bytes()).ok_or("it holds a NUL byte")?;
            missing.extend((!there).then_some(path));
            Source::Bind { path: kept, recursive }
        }
    };
    Ok(Mount { target, source, attributes, propagation })
}
