//! The two lists of a plan: what the host does and what the child does.

use crate::spec::{
    Attributes, Capabilities, ClockOffset, Device, DeviceRule, Filter, Handover, IdMap, MemoryPolicy,
    MountOption, Network, PathRule, Propagation, Rlimit, Scheduler, Upper, User, WindowSize,
};
use core::ffi::CStr;

/// Longest value written to a cgroup file: an `io.max` line with four 20-digit numbers.
const LIMIT_CAPACITY: usize = 144;

/// The value of a limit, as its file takes it.
pub type LimitValue = heapless::String<LIMIT_CAPACITY>;

/// Who writes the maps of a user namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapWriter {
    /// We, who may map any id.
    Root,
    /// We, who may map our own id and then give up supplementary groups inside (user_namespaces(7)).
    Alone,
    /// newuidmap(1) and newgidmap(1), which know what was allotted to us.
    Helper,
}

/// Which supplementary groups a process gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Groups<'a> {
    /// Those of its user.
    All,
    /// Those of them that have a place in these maps.
    Mapped(&'a [IdMap]),
    /// The ones Pipkin has: in a map of one id the kernel lets nobody change them.
    Inherited,
}

/// One action of the side that stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostStep<'a> {
    /// Make the container's cgroup, below the root of the hierarchy or, without a path, as `pipkin/ID`.
    CreateCgroup(Option<&'a CStr>),
    /// Use the cgroup that somebody else made and handed over.
    UseCgroup,
    /// Give it to the user and group that root inside is outside, who may then make groups below it.
    GiveCgroup {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// Make this controller usable in it.
    EnableController(&'static str),
    /// Write a limit.
    SetLimit {
        /// The cgroup file.
        file: &'static str,
        /// What to write.
        value: LimitValue,
    },
    /// Write a limit that was given by the name of its file.
    SetUnified {
        /// The cgroup file.
        file: &'a str,
        /// What to write.
        value: &'a str,
    },
    /// Let its processes use these devices and no others.
    LimitDevices(&'a [DeviceRule]),
    /// Make a time namespace for the child and set its clocks.
    OffsetClocks(&'a [ClockOffset]),
    /// Open the file of a namespace to join; the child enters it.
    OpenNamespace {
        /// Which: `network`, …
        kind: &'static str,
        /// Its file.
        path: &'a CStr,
    },
    /// Enter this pid namespace, which takes effect on the child to be made.
    EnterPidNamespace(&'a CStr),
    /// Give the writable layer to the user and group that root inside is outside.
    GiveLayer {
        /// The directory that holds `upper` and `work`.
        directory: &'a CStr,
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// Take a detached copy of a host path's mount, for the child; they are numbered in their order.
    OpenSource {
        /// The host path.
        path: &'a CStr,
        /// With everything mounted below.
        recursive: bool,
    },
    /// Lease the container's addresses on its bridge of this number, and tell the others there its names.
    LeaseAddresses {
        /// The whole network.
        network: Network<'a>,
        /// Index among its attachments.
        number: u8,
    },
    /// Make the bridge of this number unless it is there, and have the host forward and translate its packets.
    EnsureBridge {
        /// The whole network.
        network: Network<'a>,
        /// Index among its attachments.
        number: u8,
    },
    /// Make the pair of links between that bridge and the child, and set up the child's.
    ConnectInterface {
        /// The whole network.
        network: Network<'a>,
        /// Index among its attachments.
        number: u8,
    },
    /// Give these interfaces of the host to the child, or to the network namespace at a path.
    HandOver {
        /// Which.
        devices: &'a [Handover<'a>],
        /// The namespace, when it is not the child's own.
        namespace: Option<&'a CStr>,
    },
    /// Have ports of the host lead to the container.
    PublishPorts(Network<'a>),
    /// Start pasta(1) to connect the child's network.
    StartPasta(Network<'a>),
    /// Wait until it has.
    AwaitPasta,
    /// Make the child, with these `CLONE_NEW*` flags, inside the cgroup when there is one.
    Clone {
        /// `CLONE_NEW*` bits.
        namespaces: u64,
        /// Whether it is born inside the container's cgroup.
        cgroup: bool,
    },
    /// Write the maps of its user namespace.
    WriteIdMaps {
        /// Map of user ids.
        uids: &'a [IdMap],
        /// Map of group ids.
        gids: &'a [IdMap],
        /// Who can.
        writer: MapWriter,
    },
    /// Wait until the child has entered the user namespace, and take the process in which it goes on for it.
    AwaitSuccessor,
    /// Let what was taken of a host path show the ids of the child's user namespace, or those of other maps.
    MapSource {
        /// The host path.
        path: &'a CStr,
        /// Its number.
        slot: u8,
        /// The maps of user and group ids, when they are its own.
        maps: Option<(&'a [IdMap], &'a [IdMap])>,
        /// With everything mounted below.
        recursive: bool,
    },
    /// Let the child pass [`Step::AwaitIdMaps`] or [`Step::AwaitHost`].
    Release,
    /// Wait for the end, forwarding signals and terminal data.
    Supervise,
    /// Wait until the command was executed, and leave it to itself.
    AwaitExecution,
    /// Wait until the child's root is built, and run the engine's programs.
    RunHooks,
    /// Wait until the child waits to be started, and leave it there.
    LeaveWaiting,
}

/// Where the layers of a root in a user namespace are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layers {
    /// At their paths.
    Paths,
    /// Held by the host from this number on, topmost first, and after them the directory of the writable layer.
    Held(u8),
}

/// One action of the side that becomes the container, in a process that is already in its namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<'a> {
    /// Wait until the host has written the id maps.
    AwaitIdMaps,
    /// Become root of the user namespace; with `groups`, without supplementary groups.
    BecomeRoot {
        /// Whether they can be given up.
        groups: bool,
    },
    /// Enter the user namespace whose file the host opened first, and go on in a child that is the host's child too, in
    /// these new namespaces (`CLONE_NEW*` bits); its parent ends.
    EnterUserNamespace {
        /// Its file, for telling.
        path: &'a CStr,
        /// `CLONE_NEW*` bits.
        namespaces: u64,
    },
    /// Die when Pipkin dies.
    DieWithParent,
    /// Set `oom_score_adj`.
    OomScoreAdj(i16),
    /// Enter the namespace whose file the host opened as number `slot`.
    JoinNamespace {
        /// Which: `network`, …
        kind: &'static str,
        /// Its file, for telling.
        path: &'a CStr,
        /// Index among the opened namespace files.
        slot: u8,
    },
    /// Root the cgroup view at the container's own group.
    UnshareCgroup,
    /// Let no mount made from here on show on the host.
    IsolateMounts,
    /// Let nobody look into this process before it executes the command, nor reach the file of Pipkin through it.
    ShieldProgram,
    /// Take hold of the host's null device, for masks.
    OpenNull,
    /// Take a detached copy of a host path's mount.
    OpenSource {
        /// Where to keep it.
        slot: u8,
        /// The host path.
        path: &'a CStr,
        /// With everything mounted below.
        recursive: bool,
    },
    /// Mount the layers as the new root.
    MountOverlay {
        /// Read-only directories, topmost first.
        lower: &'a [&'a CStr],
        /// The writable layer.
        upper: Upper<'a>,
        /// Without syncing.
        volatile: bool,
        /// The host directory to mount it on.
        staging: &'a CStr,
        /// How it is mounted in a user namespace; `None` outside of one.
        user: Option<Layers>,
    },
    /// Mount an empty root in memory.
    MountScratch {
        /// The host directory to mount it on.
        staging: &'a CStr,
    },
    /// Make a directory, with everything mounted below it, a mount of our own.
    BindRoot {
        /// The directory.
        staging: &'a CStr,
    },
    /// Make it the root and let go of the host's.
    PivotRoot,
    /// Let mounts made in the root show elsewhere from here on, or not.
    PropagateRoot {
        /// How.
        propagation: Propagation,
        /// Whether also below.
        recursive: bool,
    },
    /// Tell the host that the root is built, and wait until its programs have run.
    AwaitHooks,
    /// Make a new instance of a file system, to be mounted later.
    CreateFileSystem {
        /// Where to keep it.
        slot: u8,
        /// Its type.
        kind: &'a CStr,
        /// Its options.
        options: &'a [MountOption<'a>],
        /// Where it will be.
        target: &'a CStr,
        /// How.
        attributes: Attributes,
    },
    /// Mount what `CreateFileSystem` made.
    MountFileSystem {
        /// Where it was kept.
        slot: u8,
        /// Its type.
        kind: &'a CStr,
        /// Its options.
        options: &'a [MountOption<'a>],
        /// Where.
        target: &'a CStr,
        /// How.
        attributes: Attributes,
        /// Propagation.
        propagation: Option<Propagation>,
    },
    /// Attach what `OpenSource` took.
    Attach {
        /// Where it was kept.
        slot: u8,
        /// Where.
        target: &'a CStr,
        /// How.
        attributes: Attributes,
        /// Propagation.
        propagation: Option<Propagation>,
        /// Whether it first takes over what lies there, when it is empty.
        volume: bool,
    },
    /// Make a device node.
    MakeDevice(Device<'a>),
    /// Make a symbolic link unless something is there.
    Link {
        /// What it says.
        target: &'a CStr,
        /// Where it is.
        path: &'a CStr,
    },
    /// Open a pseudo-terminal and hand its master to the host.
    OpenTerminal(WindowSize),
    /// Set a kernel parameter.
    SetSysctl {
        /// Dotted name.
        name: &'a CStr,
        /// Value.
        value: &'a CStr,
    },
    /// Hide a path.
    Mask(&'a CStr),
    /// Make a path read-only.
    MakeReadOnly(&'a CStr),
    /// Set the host name.
    SetHostname(&'a CStr),
    /// Set the NIS domain name.
    SetDomainname(&'a CStr),
    /// Raise `lo`.
    RaiseLoopback,
    /// Make the root read-only.
    MakeRootReadOnly,
    /// Wait until the host has done its part.
    AwaitHost,
    /// Leave the host's session and its keys behind.
    NewSession,
    /// Point standard input at the null device.
    CloseStdin,
    /// Go to the working directory, making it when it is missing.
    ChangeDirectory(&'a CStr),
    /// Set a limit of setrlimit(2).
    SetRlimit(Rlimit),
    /// Set the file mode creation mask.
    SetUmask(u32),
    /// Become this user, with its groups.
    BecomeUser {
        /// Who.
        user: User<'a>,
        /// The capabilities to keep while changing.
        capabilities: Capabilities,
        /// Its supplementary groups.
        groups: Groups<'a>,
    },
    /// Let no exec raise privileges.
    ForbidNewPrivileges,
    /// Let the kernel judge every system call from here on.
    InstallFilter(Filter<'a>),
    /// Set the execution domain.
    SetPersonality(u32),
    /// Set the scheduling policy.
    SetScheduler(Scheduler),
    /// Take memory from certain nodes.
    SetMemoryPolicy(MemoryPolicy<'a>),
    /// Set class and level of I/O.
    SetIoPriority(u16),
    /// Run on these CPUs only.
    SetAffinity(&'a [u64]),
    /// See that the command is there and can be executed.
    FindCommand(&'a CStr),
    /// Tell the host that all is done, and wait until somebody asks for the start.
    AwaitStart,
    /// As [`Step::ShieldProgram`], in a mount namespace that is not ours alone.
    ShieldProgramApart,
    /// Enter these namespaces (`CLONE_NEW*` bits) of the process whose pidfd the host opened, all at once; the pid
    /// namespace for children only.
    EnterNamespaces(u64),
    /// Open a pseudo-terminal that is not the container's console.
    OpenFurtherTerminal(WindowSize),
    /// Go to a directory that is there.
    GoTo(&'a CStr),
    /// Point standard output and error at the null device.
    CloseOutput,
    /// Go on in a child that is the host's child too, and is inside the pid namespace; its parent ends.
    AppearInside,
    /// Go on in a child; its parent stays as long as it has children, to reap them, with no rights of its own.
    StayAsReaper {
        /// Whether it tells the host how the command ended.
        attached: bool,
    },
    /// Give up access to all paths but these.
    RestrictPaths(&'a [PathRule<'a>]),
    /// Have what is executed confined by a security module.
    SetLabel {
        /// `apparmor` or `selinux`.
        module: &'static str,
        /// Its profile or label.
        label: &'a CStr,
    },
    /// See that root, mounts and masks are as planned.
    VerifyRoot,
    /// See that capabilities, filter and no_new_privs are as planned.
    VerifyProcess,
    /// Become the process.
    Execute {
        /// The command.
        command: &'a CStr,
        /// Whether Pipkin stays in front of it as PID 1.
        init: bool,
    },
}
