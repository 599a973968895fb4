//! The programs that are compared, each told to make the same container.

use crate::cgroup;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub(super) const FLOOR: &str = "floor";
pub(super) const PIPKIN: &str = "pipkin";
/// With the bridge that it makes and removes, being the only container on it.
pub(super) const PIPKIN_ALONE: &str = "pipkin, only one on its bridge";
/// With a bridge that is there.
pub(super) const PIPKIN_JOINS: &str = "pipkin, one more on its bridge";
pub(super) const CRUN: &str = "crun";
pub(super) const CRUN_BARE: &str = "crun, no cgroup";

/// The payload: the least a container can run.
const PAYLOAD: &str = "/bin/true";

/// What was built and laid out for the comparison.
pub(super) struct Ground {
    /// Where results and intermediate files go.
    pub(super) folder: PathBuf,
    /// Where containers keep their state.
    pub(super) state: PathBuf,
    pub(super) pipkin: PathBuf,
    pub(super) floor: PathBuf,
    pub(super) stopwatch: PathBuf,
    /// Alpine, the lower layer of Pipkin's and the floor's containers.
    pub(super) rootfs: PathBuf,
    /// Alpine, for the programs that make no layers and run in the tree itself.
    pub(super) others: PathBuf,
    /// A folder with `config.json`.
    pub(super) bundle: PathBuf,
}

/// One program and how it is called.
pub(super) struct Contender {
    pub(super) name: &'static str,
    /// What it leaves out or does more, if anything.
    pub(super) note: &'static str,
    /// The program and its arguments.
    pub(super) words: Vec<OsString>,
}

impl Contender {
    pub(super) fn command(&self) -> Command {
        let mut words = self.words.iter();
        let mut command = Command::new(words.next().cloned().unwrap_or_default());
        command.args(words);
        command
    }
}

/// All of them, the floor first.
pub(super) fn all(ground: &Ground) -> Vec<Contender> {
    vec![
        floor(ground),
        pipkin(
            ground,
            PIPKIN,
            "as all others, without a way out of its network namespace",
            &["--net", "none"],
        ),
        pipkin(ground, PIPKIN_ALONE, "the default for root: a bridge, addresses, rules", &[]),
        Contender {
            name: "bubblewrap",
            note: "no layer, no cgroup, no masks, no filter",
            words: bubblewrap(ground),
        },
        Contender {
            name: CRUN_BARE,
            note: "no layer, no cgroup, no filter",
            words: oci(ground, "crun", &["--cgroup-manager=disabled"]),
        },
        Contender {
            name: CRUN,
            note: "no layer, no filter",
            words: oci(ground, "crun", &["--cgroup-manager=cgroupfs"]),
        },
        Contender { name: "runc", note: "no layer, no filter", words: oci(ground, "runc", &[]) },
        Contender {
            name: "chroot",
            note: "no isolation: the cost of starting a program twice",
            words: vec!["/usr/sbin/chroot".into(), ground.rootfs.clone().into(), PAYLOAD.into()],
        },
    ]
}

/// The floor, and Pipkin where a bridge is there already.
pub(super) fn on_bridge(ground: &Ground) -> Vec<Contender> {
    vec![floor(ground), pipkin(ground, PIPKIN_JOINS, "", &[])]
}

fn floor(ground: &Ground) -> Contender {
    // Beside Pipkin's own: what a file system takes for a new directory depends on which are removed around it.
    let layers = ground.folder.join(super::enclosure::LAYERS);
    let mut words = vec![ground.floor.clone().into_os_string(), layers.into()];
    words.extend([cgroup::UNIFIED.into(), ground.rootfs.clone().into(), PAYLOAD.into()]);
    Contender { name: FLOOR, note: "the system calls and nothing around them", words }
}

fn pipkin(ground: &Ground, name: &'static str, note: &'static str, options: &[&str]) -> Contender {
    let mut words = vec![ground.pipkin.clone().into_os_string(), "run".into(), "--rm".into()];
    words.extend(options.iter().map(OsString::from));
    words.extend([ground.rootfs.clone().into(), PAYLOAD.into()]);
    Contender { name, note, words }
}

/// `PROGRAM --root STATE [OPTIONS] run --bundle BUNDLE ID`
fn oci(ground: &Ground, program: &'static str, options: &[&'static str]) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec![program.into(), "--root".into(), ground.state.join(program).into()];
    words.extend(options.iter().map(OsString::from));
    words.extend(["run".into(), "--bundle".into(), ground.bundle.clone().into_os_string()]);
    words.push(format!("pipkin-bench-{program}").into());
    words
}

fn bubblewrap(ground: &Ground) -> Vec<OsString> {
    let before = "bwrap --unshare-pid --unshare-ipc --unshare-uts --unshare-net --unshare-cgroup-try --die-with-parent \
                  --new-session --hostname bench --bind";
    let after = "/ --proc /proc --dev /dev --tmpfs /dev/shm --mqueue /dev/mqueue --ro-bind /sys /sys";
    let mut words: Vec<OsString> = before.split_whitespace().map(OsString::from).collect();
    words.push(ground.others.clone().into());
    words.extend(after.split_whitespace().map(OsString::from));
    words.push(PAYLOAD.into());
    words
}

/// Runs each once: those that work here, and a line for each that does not.
pub(super) fn working(all: Vec<Contender>) -> (Vec<Contender>, Vec<String>) {
    let mut told = Vec::new();
    let mut working = Vec::new();
    for contender in all {
        match contender.command().stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => working.push(contender),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.lines().last().unwrap_or("no message").to_owned();
                told.push(format!("{} does not work here, {}: {said}", contender.name, output.status));
            }
            Err(error) => told.push(format!("{} cannot be started: {error}", contender.name)),
        }
    }
    (working, told)
}
