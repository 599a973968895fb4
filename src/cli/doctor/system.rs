//! Kernel, user, file systems, system calls, directories, network.

use super::super::{kernel, message};
use super::{Check, trial};
use crate::store::Store;
use linux_raw_sys::general as raw;
use pipkin::netlink::batch::{Batch, Step};
use pipkin::netlink::socket::{Protocol, Socket};
use pipkin::sys::mount;
use rustix::fd::AsFd;
use rustix::fs::{Access, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsmount, fsopen, open_tree,
};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::thread::{SecureComputingMode, secure_computing_mode};
use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The oldest kernel with everything that is not optional: idmapped and detached mounts, `close_range`.
const OLDEST_KERNEL: (u32, u32) = (5, 13);

/// Who asks, and what answers.
pub(super) fn identity(root: bool) -> Vec<Check> {
    let names = rustix::system::uname();
    let release = names.release().to_string_lossy();
    let kernel = match version(&release) {
        Some(version) if version < OLDEST_KERNEL => {
            Check::missing("kernel", &release, "Linux 5.13 or newer is needed")
        }
        _ => Check::good("kernel", &release),
    };
    let user = if root {
        Check::good("user", "root")
    } else {
        Check::limited(
            "user",
            "not root",
            "containers live in a user namespace then; run as root for the rest",
        )
    };
    vec![kernel.required(), Check::good("architecture", &names.machine().to_string_lossy()), user]
}

/// Major and minor number at the beginning of a release such as `6.1.0-13-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn checks(root: bool) -> Vec<Check> {
    let mut checks = file_systems(root);
    checks.extend(root.then(capabilities));
    checks.extend([system_calls(root), seccomp(), own_filter(), security_modules()]);
    checks.extend(directories());
    checks.extend([forwarding(), packet_filter()]);
    checks.extend(super::firewall::checks());
    checks
}

fn file_systems(root: bool) -> Vec<Check> {
    let flags = raw::CLONE_NEWNS | if root { 0 } else { raw::CLONE_NEWUSER };
    let check = |name, attempt: Attempt, remedy: &str| match trial::attempt(flags, attempt) {
        Ok(()) => Check::good(name, "can be mounted").required(),
        Err(Errno::NODEV) => Check::missing(name, "the kernel does not have it", remedy).required(),
        Err(errno) => Check::missing(name, &message::reason(errno), remedy).required(),
    };
    let kernel = "use a kernel that has it";
    let procfs = match trial::attempt(flags | raw::CLONE_NEWPID, mount_proc) {
        Err(Errno::PERM) => Check::missing(
            "procfs",
            "parts of the surrounding container's /proc are hidden, so that nobody sees them by a new one either",
            "start that with --security-opt systempaths=unconfined (podman: unmask=ALL)",
        ),
        Ok(()) => Check::good("procfs", "can be mounted"),
        Err(errno) => Check::missing("procfs", &message::reason(errno), kernel),
    };
    vec![
        procfs.required(),
        check("overlayfs", || open(c"overlay"), "modprobe overlay"),
        check("tmpfs", || open(c"tmpfs"), kernel),
        check("devpts", || open(c"devpts"), kernel),
        check("mqueue", || open(c"mqueue"), "use a kernel with CONFIG_POSIX_MQUEUE"),
    ]
}

/// Makes a procfs of the pid namespace that this process is the first of, for nobody to see.
fn mount_proc() -> Result<()> {
    let context = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map(drop)
}

fn open(kind: &CStr) -> Result<()> {
    fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map(drop)
}

/// Something to try in a child.
type Attempt = fn() -> Result<()>;

/// Calls that a container is made with; filters of a surrounding container may hide them.
fn system_calls(root: bool) -> Check {
    let tries: [(&str, Attempt); 4] = [
        ("openat2", || {
            rustix::fs::openat2(
                CWD,
                c"/",
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT,
            )
            .map(drop)
        }),
        ("open_tree", || open_tree(CWD, c"/", OpenTreeFlags::OPEN_TREE_CLOEXEC).map(drop)),
        ("mount_setattr", || {
            let root = rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            match mount::set_attributes(root, mount::Change::default(), false) {
                // Without privilege the kernel says so itself.
                Err(Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(()),
                result => result,
            }
        }),
        ("pidfd_open", || pidfd_open(getpid(), PidfdFlags::empty()).map(drop)),
    ];
    let hidden = tries.into_iter().filter(|(_, attempt)| trial::attempt(0, *attempt).is_err());
    let own_name = raw::CLONE_NEWUTS | if root { 0 } else { raw::CLONE_NEWUSER };
    let unnamed = trial::attempt(own_name, || rustix::system::sethostname(b"doctor")) == Err(Errno::PERM);
    let hidden: Vec<&str> = hidden.map(|(name, _)| name).collect();
    if hidden.is_empty() && unnamed {
        return Check::limited(
            "system calls",
            "not to be had: sethostname",
            "give --uts host, or let the surrounding container's seccomp filter allow it",
        );
    }
    if hidden.is_empty() {
        return Check::good("system calls", "all that are needed");
    }
    let detail = ["not to be had: ", &hidden.join(" ")].concat();
    Check::missing("system calls", &detail, "let the surrounding container's seccomp filter allow them")
        .required()
}

/// Which capabilities containers without a user namespace cannot have.
fn capabilities() -> Check {
    let name = "capabilities";
    let missing = pipkin::host::known_capabilities().without(pipkin::host::own_capabilities());
    let missing: Vec<&str> = missing.names().collect();
    if missing.is_empty() {
        return Check::good(name, "all");
    }
    let detail = ["without ", &missing.join(" "), ", which --cap-add ALL does not give either"].concat();
    Check::limited(name, &detail, "start Pipkin with them, or give containers --userns auto")
}

fn seccomp() -> Check {
    match kernel::read_text("/proc/sys/kernel/seccomp/actions_avail") {
        Some(actions) => Check::good("seccomp", &actions),
        None => {
            Check::missing("seccomp", "the kernel does not filter", "use a kernel with CONFIG_SECCOMP_FILTER")
        }
    }
}

fn own_filter() -> Check {
    match secure_computing_mode() {
        Ok(SecureComputingMode::Disabled) => Check::good("own filter", "none"),
        _ => Check::limited(
            "own filter",
            "Pipkin itself runs under a seccomp filter",
            "what it forbids no container can have; loosen it where something fails",
        ),
    }
}

fn security_modules() -> Check {
    let found = kernel::read_text("/sys/kernel/security/lsm").filter(|list| !list.is_empty());
    let told = found.as_deref().unwrap_or("not told (securityfs is not mounted)");
    Check::good("security modules", told)
}

const DATA: &str = "data directory";

/// Where state and images are kept.
fn directories() -> Vec<Check> {
    let [state, data] = Store::open().map_or([None, None], |store| store.directories().map(Some));
    vec![
        directory("state directory", state, "set XDG_RUNTIME_DIR to a directory of yours").required(),
        directory(DATA, data, "set XDG_DATA_HOME to a directory of yours"),
    ]
}

fn directory(name: &'static str, path: Option<PathBuf>, unset: &str) -> Check {
    let Some(path) = path else {
        return Check::missing(name, "there is none", unset);
    };
    let exists = |path: &&Path| path.exists();
    let nearest = path.ancestors().find(exists).unwrap_or(Path::new("/")).as_os_str().to_owned();
    let shown = path.to_string_lossy().into_owned();
    // OVERLAYFS_SUPER_MAGIC, linux/magic.h
    const OVERLAY: u64 = 0x794c_7630;
    let layered =
        rustix::fs::statfs(&*nearest.to_string_lossy()).is_ok_and(|found| found.f_type as u64 == OVERLAY);
    match writable(nearest) {
        Ok(()) if layered && name == DATA => Check::limited(
            name,
            &[&shown, " is on an overlay, which holds no changes of another"].concat(),
            "give --ephemeral, or have it on ext4, xfs, btrfs or tmpfs (a volume of the surrounding container)",
        ),
        Ok(()) => Check::good(name, &shown),
        Err(errno) => {
            let detail = [&shown, " cannot be written: ", &message::reason(errno)].concat();
            Check::missing(name, &detail, "mount a writable file system there, or change its owner")
        }
    }
}

fn writable(path: OsString) -> Result<()> {
    if !Path::new(&path).is_dir() {
        return Err(Errno::NOTDIR);
    }
    let path = CString::new(path.into_vec()).map_err(|_| Errno::INVAL)?;
    rustix::fs::access(path.as_c_str(), Access::WRITE_OK)
}

fn forwarding() -> Check {
    match kernel::read("/proc/sys/net/ipv4/ip_forward") {
        Some(value) if value == b"1" => Check::good("ip forwarding", "on"),
        _ => Check::limited(
            "ip forwarding",
            "off, so that a container on a bridge does not get beyond this machine",
            "sysctl -w net.ipv4.ip_forward=1",
        ),
    }
}

/// Asks nf_tables for the number of its rule set's generation, which changes nothing.
fn packet_filter() -> Check {
    // NFNL_SUBSYS_NFTABLES and NFT_MSG_GETGEN (linux/netfilter/nfnetlink.h, nf_tables.h)
    const GET_GENERATION: u16 = 10 << 8 | 16;
    let mut buffer = [0; 64];
    let mut batch = Batch::new(&mut buffer);
    let step = Step { stage: "ask nf_tables", subject: b"" };
    // struct nfgenmsg: no family, version 0, no resource
    batch.push(step, GET_GENERATION, 0, |payload| payload.put(&[0; 4]));
    let answer =
        Socket::open(Protocol::Netfilter).and_then(|mut socket| socket.fold(&mut batch, &(), |(), _| Ok(())));
    let remedy = match &answer {
        Ok(()) => return Check::good("nf_tables", "answers"),
        Err(error) if error.errno == Errno::PERM => "run as root",
        Err(_) => "modprobe nf_tables",
    };
    Check::limited("nf_tables", "published ports and address translation need it", remedy)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(version("5.9-rc1"), Some((5, 9)));
        assert_eq!(version("10.13"), Some((10, 13)));
        assert_eq!(version("x"), None);
        assert!((5, 9) < OLDEST_KERNEL && (5, 13) >= OLDEST_KERNEL && (6, 0) > OLDEST_KERNEL);
    }

    #[test]
    fn a_directory_is_judged_by_its_nearest_parent() {
        assert_eq!(directory("x", Some("/tmp/not/yet/there".into()), "").state, State::Good);
        assert_eq!(directory("x", Some("/dev/null/not/there".into()), "").state, State::Missing);
        assert_eq!(directory("x", None, "set it").remedy, "set it");
    }
}
