//! From what is wanted and what the host offers to an exact list of actions.
//!
//! Duty: [`resolve`] decides everything before anything is touched, and is pure: the same [`Spec`] and
//! [`HostFacts`] give the same [`Plan`], which can be printed ([`HostStep::describe`], [`Step::describe`]) and
//! compared. It acts on nothing and reads nothing.
//!
//! Dangers: the order of steps is where the security is. Host paths are opened before the root is exchanged and
//! only descriptors are used after; masks come after the mounts they hide; capabilities go last but one.

mod confinement;
mod conflict;
mod describe;
mod engine;
mod enter;
mod facts;
mod limit;
mod network;
mod report;
mod source;
mod step;
mod sysctl;
#[cfg(test)]
mod tests;
mod text;
mod update;
mod user;
mod value;

pub use conflict::Conflict;
pub use describe::{Description, Field};
pub use enter::{EnterSpec, enter};
pub use facts::{Availability, Controllers, HostFacts};
pub use network::HELPER_PORTS;
pub use report::{RELEASE, REPORT_SIZE, Report};
pub(crate) use source::map_writer;
pub use source::outside;
pub use step::{Groups, HostStep, Layers, LimitValue, MapWriter, Step};
pub use update::update;
pub use value::Value;

use crate::spec::{Join, Mount, RootSource, Source, Spec, Start};
use linux_raw_sys::general as raw;
use source::{devices, is_dev};

/// Most steps the child can have.
pub const STEPS: usize = 320;
/// Most steps the host can have.
pub const HOST_STEPS: usize = 48 + 2 * SLOTS;
/// Most mounts that are made or taken hold of first and put in their places later: file systems, binds, and in a user
/// namespace devices and layers.
pub const SLOTS: usize = 112;
/// Most layers under a root; overlayfs itself allows 500, its one page of options about 250 of ours.
pub const LAYERS: usize = 128;

/// Everything that will be done, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan<'a> {
    /// What the host does.
    pub host: heapless::Vec<HostStep<'a>, HOST_STEPS>,
    /// What the child does, at the same time, from [`HostStep::Clone`] on.
    pub child: heapless::Vec<Step<'a>, STEPS>,
}

/// Decides how to make `spec` on a host with `facts`, and writes the steps into `plan`, which must be empty.
///
/// # Errors
/// The first [`Conflict`] found: a limit, namespace or mount that cannot be had here, or too many of something.
pub fn resolve<'a>(spec: &Spec<'a>, facts: &HostFacts, plan: &mut Plan<'a>) -> Result<(), Conflict> {
    check(spec, facts)?;
    plan_host(spec, facts, plan)?;
    let mut child = Child { steps: &mut plan.child, slots: 0, made: 0, full: None };
    child.enter(spec, facts);
    child.build_root(spec, facts);
    child.fill_root(spec, facts);
    child.close_root(spec);
    child.await_hooks(spec);
    child.become_process(spec, facts);
    child.full.map_or(Ok(()), |what| Err(Conflict::full(what)))
}

fn check(spec: &Spec<'_>, facts: &HostFacts) -> Result<(), Conflict> {
    if spec.process.args.list.is_empty() {
        return Err(Conflict::new("run nothing", "the command is empty", "give a command"));
    }
    if !facts.root && spec.namespaces.user.is_none() {
        return Err(Conflict::new(
            "run without root",
            "a user namespace is needed",
            "run as root, or give --userns auto",
        ));
    }
    let named = spec.hostname.is_some() || spec.domainname.is_some();
    if named && spec.namespaces.uts == Join::Host {
        let remedy = "leave out the names, or give the container a UTS namespace of its own";
        return Err(Conflict::new("set the host name", "it would change the host's own", remedy));
    }
    if spec.process.terminal.is_some() && !spec.mounts.iter().any(|mount| mount.target == c"/dev/pts") {
        return Err(Conflict::new(
            "give a terminal",
            "/dev/pts is not among the mounts",
            "mount devpts there",
        ));
    }
    if let RootSource::Layers { lower, .. } = spec.root.source {
        if lower.is_empty() {
            return Err(Conflict::new("build the root", "it has no layer", "name an image"));
        }
        if lower.len() > LAYERS {
            return Err(Conflict::full("stack layers"));
        }
    }
    limit::check_rules(&spec.resources, facts)?;
    user::check(spec, facts)?;
    confinement::check(&spec.process, facts)?;
    spec.sysctls.iter().try_for_each(|parameter| sysctl::check(parameter, &spec.namespaces))
}

/// The `CLONE_NEW*` flags of the namespaces that are new from the child's first instruction. The cgroup namespace
/// is not among them: made by clone3 it would be rooted at the parent's group, so the child unshares it inside.
fn clone_flags(spec: &Spec<'_>) -> u64 {
    let ns = &spec.namespaces;
    let new = |join: Join<'_>, flag: u32| if join == Join::New { flag } else { 0 };
    let joined = ns.user.is_some_and(|user| user.path.is_some());
    let flags = raw::CLONE_NEWNS
        | new(ns.pid, raw::CLONE_NEWPID)
        | new(ns.network, raw::CLONE_NEWNET)
        | new(ns.ipc, raw::CLONE_NEWIPC)
        | new(ns.uts, raw::CLONE_NEWUTS)
        | if ns.user.is_some() && !joined { raw::CLONE_NEWUSER } else { 0 }
        | if ns.clocks.is_empty() { new(ns.time, raw::CLONE_NEWTIME) } else { 0 };
    u64::from(flags)
}

/// The namespaces that the child enters. Not the pid namespace: entering it takes effect on children only.
fn joins<'a>(spec: &Spec<'a>) -> impl Iterator<Item = (&'static str, &'a core::ffi::CStr)> {
    let ns = spec.namespaces;
    let all =
        [("network", ns.network), ("ipc", ns.ipc), ("uts", ns.uts), ("cgroup", ns.cgroup), ("time", ns.time)];
    all.into_iter().filter_map(|(kind, join)| match join {
        Join::Path(path) => Some((kind, path)),
        Join::New | Join::Host => None,
    })
}

fn plan_host<'a>(spec: &Spec<'a>, facts: &HostFacts, plan: &mut Plan<'a>) -> Result<(), Conflict> {
    let push = |step: HostStep<'a>| plan.host.push(step).map_err(|_| Conflict::full("set limits"));
    let mut push = push;
    if facts.cgroup {
        push(if spec.managed { HostStep::UseCgroup } else { HostStep::CreateCgroup(spec.cgroup) })?;
    }
    limit::resolve(&spec.resources, &facts.controllers, &mut push)?;
    if !facts.cgroup && limit::any(&spec.resources) {
        let why =
            "no cgroup can be made here: cgroup.procs of ours, of /proc/self/cgroup, is not for us to write";
        let remedy = "have ours delegated (systemd: Delegate=yes), or mount cgroup2 where there is none";
        return Err(Conflict::new("set limits", why, remedy));
    }
    if facts.cgroup {
        user::give_cgroup(spec, &mut push)?;
    }
    let joined = spec.namespaces.user.and_then(|user| user.path);
    for (kind, path) in joined.map(|path| ("user", path)).into_iter().chain(joins(spec)) {
        push(HostStep::OpenNamespace { kind, path })?;
    }
    if let Join::Path(path) = spec.namespaces.pid {
        push(HostStep::EnterPidNamespace(path))?;
    }
    if !spec.namespaces.clocks.is_empty() {
        push(HostStep::OffsetClocks(spec.namespaces.clocks))?;
    }
    // It makes the list of names, which may be among the files that are taken hold of next.
    network::before(spec, &mut push)?;
    user::before_clone(spec, facts, &mut push)?;
    // What is new belongs to the user namespace that is entered first.
    let namespaces = if joined.is_some() { 0 } else { clone_flags(spec) };
    push(HostStep::Clone { namespaces, cgroup: facts.cgroup })?;
    user::after_clone(spec, facts, &mut push)?;
    network::after(spec, &mut push)?;
    engine::finish_host(spec.start, &mut push)
}

/// The child's list under construction. What did not fit is remembered and told once, at the end, so that no step's
/// place in the order is hidden among checks.
struct Child<'p, 'a> {
    steps: &'p mut heapless::Vec<Step<'a>, STEPS>,
    slots: u8,
    full: Option<&'static str>,
    /// Number of the first file system that has no place yet.
    made: u8,
}

impl<'a> Child<'_, 'a> {
    #[inline(never)]
    fn push(&mut self, step: Step<'a>) {
        if self.steps.push(step).is_err() {
            self.full = Some("mount and prepare");
        }
    }

    fn slot(&mut self) -> u8 {
        let slot = self.slots;
        if usize::from(slot) >= SLOTS {
            self.full = Some("mount and bind host paths");
        }
        self.slots = slot.saturating_add(1);
        slot
    }

    /// Into the namespaces, while the host's file system is still in sight.
    fn enter(&mut self, spec: &Spec<'a>, facts: &HostFacts) {
        if spec.start == Start::AtOnce {
            self.push(Step::DieWithParent);
        }
        // While we are who we were outside: the file is not root's inside.
        if let Some(score) = spec.process.oom_score_adj {
            self.push(Step::OomScoreAdj(score));
        }
        let joined = spec.namespaces.user.and_then(|user| user.path);
        if let Some(path) = joined {
            self.push(Step::EnterUserNamespace { path, namespaces: clone_flags(spec) });
        }
        if spec.namespaces.user.is_some() {
            self.push(Step::AwaitIdMaps);
        }
        if let Some(user) = spec.namespaces.user
            && user::has_root(&user)
        {
            self.push(Step::BecomeRoot { groups: !source::keeps_groups(&user, facts) });
        }
        for (slot, (kind, path)) in (u8::from(joined.is_some())..).zip(joins(spec)) {
            self.push(Step::JoinNamespace { kind, path, slot });
        }
        if facts.cgroup && spec.namespaces.cgroup == Join::New {
            self.push(Step::UnshareCgroup);
        }
    }

    /// Everything that needs host paths, up to the moment they are gone.
    fn build_root(&mut self, spec: &Spec<'a>, facts: &HostFacts) {
        if !spec.masked.is_empty() {
            self.push(Step::OpenNull);
        }
        self.make_mounts(spec, facts);
        // Only now: a source taken while the mounts are still those of the host can go on sharing with it.
        self.push(Step::IsolateMounts);
        self.push(Step::ShieldProgram);
        let staging = user::staging(spec);
        match spec.root.source {
            RootSource::Layers { lower, upper, volatile } => {
                let user = spec.namespaces.user.map(|_| user::layers(spec, facts));
                self.push(Step::MountOverlay { lower, upper, volatile, staging, user });
            }
            RootSource::Scratch => self.push(Step::MountScratch { staging }),
            RootSource::Directory { .. } => self.push(Step::BindRoot { staging }),
        }
        if !engine::has_hooks(spec) {
            self.push(Step::PivotRoot);
        }
    }

    /// Makes what is mounted later, in the order of the mounts, which is the one that newer kernels list them in; and
    /// while whole `/proc` and `/sys` are in sight, without which a user namespace gets none.
    fn make_mounts(&mut self, spec: &Spec<'a>, facts: &HostFacts) {
        let count = source::held(spec, facts).map(|_| self.slot()).count();
        self.made = self.slots;
        let first = |place: usize| u8::try_from(place).unwrap_or(u8::MAX);
        let mut held = source::held(spec, facts).enumerate().take(count);
        let mut open = |child: &mut Self| {
            if let Some((place, source::Held { path, recursive, .. })) = held.next()
                && !source::by_host(spec, facts)
            {
                child.push(Step::OpenSource { slot: first(place), path, recursive });
            }
        };
        for mount in spec.mounts {
            match source::shown(mount, spec, facts) {
                Some(Source::Bind { .. }) => open(self),
                Some(shown) => {
                    if let Some((kind, options)) = source::file_system(shown, spec, facts) {
                        let (slot, Mount { target, attributes, .. }) = (self.slot(), *mount);
                        self.push(Step::CreateFileSystem { slot, kind, options, target, attributes });
                    }
                }
                None => {}
            }
        }
        for _ in 0..count {
            open(self);
        }
    }

    /// Mounts, devices and links, in the order that lets each find its place.
    fn fill_root(&mut self, spec: &Spec<'a>, facts: &HostFacts) {
        let mut binds = 0;
        let dev_at = spec.mounts.iter().position(is_dev);
        for (place, mount) in spec.mounts.iter().enumerate() {
            self.mount(mount, spec, facts, &mut binds);
            if dev_at == Some(place) {
                self.fill_dev(spec, facts);
            }
        }
        if dev_at.is_none() && !spec.devices.is_empty() {
            self.fill_dev(spec, facts);
        }
        if user::forbids_more(spec) {
            self.push(Step::SetSysctl { name: c"user.max_user_namespaces", value: c"0" });
        }
        for parameter in spec.sysctls {
            self.push(Step::SetSysctl { name: parameter.name, value: parameter.value });
        }
    }

    fn mount(&mut self, mount: &Mount<'a>, spec: &Spec<'a>, facts: &HostFacts, binds: &mut u8) {
        let Mount { target, attributes, propagation, .. } = *mount;
        let Some(shown) = source::shown(mount, spec, facts) else { return };
        if let Source::Bind { volume, .. } = shown {
            let slot = *binds;
            *binds = slot.saturating_add(1);
            let attributes = source::attributes(mount);
            self.push(Step::Attach { slot, target, attributes, propagation, volume });
        } else if let Some((kind, options)) = source::file_system(shown, spec, facts) {
            let slot = self.made;
            self.made = slot.saturating_add(1);
            self.push(Step::MountFileSystem { slot, kind, options, target, attributes, propagation });
        }
    }

    fn fill_dev(&mut self, spec: &Spec<'a>, facts: &HostFacts) {
        let bound =
            |mount: &&Mount<'a>| matches!(source::shown(mount, spec, facts), Some(Source::Bind { .. }));
        let binds = spec.mounts.iter().filter(bound).count();
        for (place, device) in devices(spec).enumerate() {
            if source::in_user_namespace(spec, facts) {
                let slot = u8::try_from(binds.saturating_add(place)).unwrap_or(u8::MAX);
                let attributes = crate::spec::Attributes::default();
                let target = device.path;
                self.push(Step::Attach { slot, target, attributes, propagation: None, volume: false });
            } else {
                self.push(Step::MakeDevice(device));
            }
        }
        for (target, path) in [
            (c"/proc/self/fd", c"/dev/fd"),
            (c"/proc/self/fd/0", c"/dev/stdin"),
            (c"/proc/self/fd/1", c"/dev/stdout"),
            (c"/proc/self/fd/2", c"/dev/stderr"),
            (c"pts/ptmx", c"/dev/ptmx"),
        ] {
            self.push(Step::Link { target, path });
        }
    }

    /// What hides and closes.
    fn close_root(&mut self, spec: &Spec<'a>) {
        if let Some(size) = spec.process.terminal {
            self.push(Step::OpenTerminal(size));
        }
        for path in spec.readonly {
            self.push(Step::MakeReadOnly(path));
        }
        for path in spec.masked {
            self.push(Step::Mask(path));
        }
        if let Some(name) = spec.hostname {
            self.push(Step::SetHostname(name));
        }
        if let Some(name) = spec.domainname {
            self.push(Step::SetDomainname(name));
        }
        // What is put on a bridge is set up by the host, loopback and all.
        if spec.namespaces.network == Join::New && spec.network.attachments.is_empty() {
            self.push(Step::RaiseLoopback);
        }
    }

    /// From the builder of a container to the process in it.
    fn become_process(&mut self, spec: &Spec<'a>, facts: &HostFacts) {
        let process = &spec.process;
        self.push(Step::ChangeDirectory(process.cwd));
        if spec.root.readonly {
            self.push(Step::MakeRootReadOnly);
        }
        if is_verified(spec) {
            self.push(Step::VerifyRoot);
        }
        self.push(Step::AwaitHost);
        self.push(Step::NewSession);
        self.tune(&process.tuning);
        self.set_limits(process);
        let command = process.args.list.first().copied().unwrap_or(c"");
        // Nobody is asked to start us through a filter that may forbid us to listen.
        if !process.no_new_privileges {
            self.await_start(spec.start, command);
        }
        // Without no_new_privs only root may install a filter.
        self.install(process.filter.filter(|_| !process.no_new_privileges));
        let (user, capabilities) = (process.user, process.capabilities);
        self.push(Step::BecomeUser { user, capabilities, groups: user::groups(spec, facts) });
        if process.no_new_privileges {
            self.push(Step::ForbidNewPrivileges);
            self.await_start(spec.start, command);
        }
        self.confine(process, confinement::rules(spec, facts));
        self.install(process.filter.filter(|_| process.no_new_privileges));
        if is_verified(spec) {
            self.push(Step::VerifyProcess);
        }
        self.push(Step::Execute { command, init: spec.init })
    }
}

/// Whether the child can look at itself: in a procfs of its own, and where no programs of an engine mount what they like.
fn is_verified(spec: &Spec<'_>) -> bool {
    let own =
        |mount: &Mount<'_>| mount.target == c"/proc" && matches!(mount.source, Source::FileSystem { .. });
    spec.mounts.iter().any(own) && !engine::has_hooks(spec)
}
