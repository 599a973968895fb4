//! From what is wanted and what the host offers to an exact list of actions.
//!
//! Duty: [`resolve`] decides everything before anything is touched, and is pure: the same [`Spec`] and
//! [`HostFacts`] give the same [`Plan`], which can be printed ([`HostStep::describe`], [`Step::describe`]) and
//! compared. It acts on nothing and reads nothing.
//!
//! Dangers: the order of steps is where the security is. Host paths are opened before the root is exchanged and
//! only descriptors are used after; masks come after the mounts they hide; capabilities go last but one.

mod conflict;
mod describe;
mod engine;
mod facts;
mod limit;
mod report;
mod step;
mod sysctl;
#[cfg(test)]
mod tests;
mod text;

pub use conflict::Conflict;
pub use describe::{Description, Field, Value};
pub use facts::{Availability, Controllers, HostFacts};
pub use report::{RELEASE, REPORT_SIZE, Report};
pub use step::{HostStep, LimitValue, Step};

use crate::spec::{DEFAULT_DEVICES, Device, Join, Mount, RootSource, Source, Spec, Start};
use linux_raw_sys::general as raw;

/// Most steps the child can have.
pub const STEPS: usize = 320;
/// Most steps the host can have.
pub const HOST_STEPS: usize = 48;
/// Most sources that are opened on the host and attached inside: binds, and devices in a user namespace.
pub const SLOTS: usize = 64;
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
    let mut child = Child { steps: &mut plan.child, slots: 0, full: None };
    child.enter(spec, facts);
    child.build_root(spec);
    child.fill_root(spec, facts);
    child.close_root(spec);
    child.await_hooks(spec);
    child.become_process(spec);
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
    spec.sysctls.iter().try_for_each(|parameter| sysctl::check(parameter, &spec.namespaces))
}

/// The `CLONE_NEW*` flags of the namespaces that are new from the child's first instruction. The cgroup namespace
/// is not among them: made by clone3 it would be rooted at the parent's group, so the child unshares it inside.
fn clone_flags(spec: &Spec<'_>) -> u64 {
    let ns = &spec.namespaces;
    let new = |join: Join<'_>, flag: u32| if join == Join::New { flag } else { 0 };
    let flags = raw::CLONE_NEWNS
        | new(ns.pid, raw::CLONE_NEWPID)
        | new(ns.network, raw::CLONE_NEWNET)
        | new(ns.ipc, raw::CLONE_NEWIPC)
        | new(ns.uts, raw::CLONE_NEWUTS)
        | if ns.user.is_some() { raw::CLONE_NEWUSER } else { 0 }
        | if ns.time && ns.clocks.is_empty() { raw::CLONE_NEWTIME } else { 0 };
    u64::from(flags)
}

/// The namespaces that the child enters. Not the pid namespace: entering it takes effect on children only.
fn joins<'a>(spec: &Spec<'a>) -> impl Iterator<Item = (&'static str, &'a core::ffi::CStr)> {
    let ns = spec.namespaces;
    let all = [("network", ns.network), ("ipc", ns.ipc), ("uts", ns.uts), ("cgroup", ns.cgroup)];
    all.into_iter().filter_map(|(kind, join)| match join {
        Join::Path(path) => Some((kind, path)),
        Join::New | Join::Host => None,
    })
}

fn plan_host<'a>(spec: &Spec<'a>, facts: &HostFacts, plan: &mut Plan<'a>) -> Result<(), Conflict> {
    let push = |step: HostStep<'a>| plan.host.push(step).map_err(|_| Conflict::full("set limits"));
    let mut push = push;
    if facts.cgroup {
        push(HostStep::CreateCgroup(spec.cgroup))?;
    }
    limit::resolve(&spec.resources, &facts.controllers, &mut push)?;
    if !facts.cgroup && limit::any(&spec.resources) {
        let remedy = "mount cgroup2 where Pipkin may make groups";
        return Err(Conflict::new("set limits", "no cgroup can be made here", remedy));
    }
    for (kind, path) in joins(spec) {
        push(HostStep::OpenNamespace { kind, path })?;
    }
    if let Join::Path(path) = spec.namespaces.pid {
        push(HostStep::EnterPidNamespace(path))?;
    }
    if !spec.namespaces.clocks.is_empty() {
        push(HostStep::OffsetClocks(spec.namespaces.clocks))?;
    }
    push(HostStep::Clone { namespaces: clone_flags(spec), cgroup: facts.cgroup })?;
    if let Some(user) = spec.namespaces.user {
        push(HostStep::WriteIdMaps { uids: user.uids, gids: user.gids })?;
        push(HostStep::Release)?;
    }
    engine::finish_host(spec.start, &mut push)
}

/// The child's list under construction. What did not fit is remembered and told once, at the end, so that no step's
/// place in the order is hidden among checks.
struct Child<'p, 'a> {
    steps: &'p mut heapless::Vec<Step<'a>, STEPS>,
    slots: u8,
    full: Option<&'static str>,
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
            self.full = Some("bind host paths");
        }
        self.slots = slot.saturating_add(1);
        slot
    }

    /// Into the namespaces, while the host's file system is still in sight.
    fn enter(&mut self, spec: &Spec<'a>, facts: &HostFacts) {
        if spec.start == Start::AtOnce {
            self.push(Step::DieWithParent);
        }
        if spec.namespaces.user.is_some() {
            self.push(Step::AwaitIdMaps);
        }
        if let Some(score) = spec.process.oom_score_adj {
            self.push(Step::OomScoreAdj(score));
        }
        for (slot, (kind, path)) in (0..).zip(joins(spec)) {
            self.push(Step::JoinNamespace { kind, path, slot });
        }
        if facts.cgroup && spec.namespaces.cgroup == Join::New {
            self.push(Step::UnshareCgroup);
        }
    }

    /// Everything that needs host paths, up to the moment they are gone.
    fn build_root(&mut self, spec: &Spec<'a>) {
        if !spec.masked.is_empty() {
            self.push(Step::OpenNull);
        }
        for mount in spec.mounts {
            if let Source::Bind { path, recursive } = mount.source {
                let slot = self.slot();
                self.push(Step::OpenSource { slot, path, recursive });
            }
        }
        if spec.namespaces.user.is_some() {
            for device in devices(spec) {
                let slot = self.slot();
                self.push(Step::OpenSource { slot, path: device.path, recursive: false });
            }
        }
        // Only now: a source taken while the mounts are still those of the host can go on sharing with it.
        self.push(Step::IsolateMounts);
        let staging = spec.root.staging;
        match spec.root.source {
            RootSource::Layers { lower, upper, volatile } => {
                self.push(Step::MountOverlay { lower, upper, volatile, staging });
            }
            RootSource::Scratch => self.push(Step::MountScratch { staging }),
            RootSource::Directory { .. } => self.push(Step::BindRoot { staging }),
        }
        if !engine::has_hooks(spec) {
            self.push(Step::PivotRoot);
        }
    }

    /// Mounts, devices and links, in the order that lets each find its place.
    fn fill_root(&mut self, spec: &Spec<'a>, facts: &HostFacts) {
        let mut binds = 0;
        let early = |mount: &&Mount<'a>| is_dev(mount);
        let dev_at = spec.mounts.iter().position(|mount| early(&mount));
        for (place, mount) in spec.mounts.iter().enumerate() {
            self.mount(mount, spec, facts, &mut binds);
            if dev_at == Some(place) {
                self.fill_dev(spec);
            }
        }
        if dev_at.is_none() && !spec.devices.is_empty() {
            self.fill_dev(spec);
        }
        for parameter in spec.sysctls {
            self.push(Step::SetSysctl { name: parameter.name, value: parameter.value });
        }
    }

    fn mount(&mut self, mount: &Mount<'a>, spec: &Spec<'a>, facts: &HostFacts, binds: &mut u8) {
        let Mount { target, attributes, propagation, .. } = *mount;
        match mount.source {
            Source::Bind { .. } => {
                let slot = *binds;
                *binds = slot.saturating_add(1);
                self.push(Step::Attach { slot, target, attributes, propagation })
            }
            Source::FileSystem { kind, options } => {
                self.push(Step::MountFileSystem { kind, options, target, attributes, propagation })
            }
            // In the host's own cgroup namespace a new mount would set the hierarchy's options for everybody.
            Source::Cgroup if facts.cgroup && spec.namespaces.cgroup != Join::Host => {
                let kind = c"cgroup2";
                self.push(Step::MountFileSystem { kind, options: &[], target, attributes, propagation })
            }
            Source::Cgroup => {}
        }
    }

    fn fill_dev(&mut self, spec: &Spec<'a>) {
        let binds = spec.mounts.iter().filter(|mount| matches!(mount.source, Source::Bind { .. })).count();
        for (place, device) in devices(spec).enumerate() {
            if spec.namespaces.user.is_some() {
                let slot = u8::try_from(binds.saturating_add(place)).unwrap_or(u8::MAX);
                let attributes = crate::spec::Attributes::default();
                self.push(Step::Attach { slot, target: device.path, attributes, propagation: None });
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
        if spec.namespaces.network == Join::New {
            self.push(Step::RaiseLoopback);
        }
    }

    /// From the builder of a container to the process in it.
    fn become_process(&mut self, spec: &Spec<'a>) {
        let process = &spec.process;
        self.push(Step::ChangeDirectory(process.cwd));
        if spec.root.readonly {
            self.push(Step::MakeRootReadOnly);
        }
        self.push(Step::AwaitHost);
        self.push(Step::NewSession);
        self.tune(&process.tuning);
        if !process.stdin && process.terminal.is_none() {
            self.push(Step::CloseStdin);
        }
        for limit in process.rlimits {
            self.push(Step::SetRlimit(*limit));
        }
        self.push(Step::SetUmask(process.umask));
        let command = process.args.list.first().copied().unwrap_or(c"");
        // Nobody is asked to start us through a filter that may forbid us to listen.
        if !process.no_new_privileges {
            self.await_start(spec.start, command);
        }
        // Without no_new_privs only root may install a filter.
        if let Some(filter) = process.filter.filter(|_| !process.no_new_privileges) {
            self.push(Step::InstallFilter(filter));
        }
        self.push(Step::BecomeUser { user: process.user, capabilities: process.capabilities });
        if process.no_new_privileges {
            self.push(Step::ForbidNewPrivileges);
            self.await_start(spec.start, command);
        }
        if let Some(filter) = process.filter.filter(|_| process.no_new_privileges) {
            self.push(Step::InstallFilter(filter));
        }
        self.push(Step::Execute { command, init: spec.init })
    }
}

fn is_dev(mount: &Mount<'_>) -> bool {
    mount.target == c"/dev" && matches!(mount.source, Source::FileSystem { .. })
}

/// The nodes to make: the defaults where `/dev` is a file system of ours, then those asked for.
fn devices<'a>(spec: &Spec<'a>) -> impl Iterator<Item = Device<'a>> {
    let own_dev = spec.mounts.iter().any(|mount| is_dev(mount));
    let defaults = if own_dev { &DEFAULT_DEVICES[..] } else { &[] };
    defaults.iter().chain(spec.devices).copied()
}
