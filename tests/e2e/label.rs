//! Labels of the kernel's big security modules, seen from what they forbid.
//!
//! The policies are as small as they can be, and compiled: what they are made from, and how, is told beside them.

use crate::harness::{Case, Folder, cases, detached, run};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn cases() -> Vec<Case> {
    [
        cases!(AppArmor, [apparmor_confines, an_unknown_apparmor_profile_is_told]),
        cases!(SeLinux, [selinux_confines, an_unknown_selinux_label_is_told]),
    ]
    .concat()
}

/// A file system that goes with this value.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    fn new(kind: &str, path: &Path, data: &str) -> Self {
        let data = CString::new(data).expect("no NUL");
        mount(kind, path, kind, MountFlags::empty(), Some(data.as_c_str())).expect(kind);
        Self(path.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            unmount(&self.0, UnmountFlags::DETACH).expect("unmounting");
        });
    }
}

/// Loads the profile `pipkin-test`, which forbids to read `/etc/hostname`. It stays: nothing else is confined by it.
pub(crate) fn load_profile() {
    let place = Path::new("/sys/kernel/security");
    let _mounted = Mounted::new("securityfs", place, "");
    // Loaded again it takes its own place.
    fs::write(place.join("apparmor/.replace"), include_bytes!("label/apparmor.policy")).expect("a policy");
}

/// What is asked of a confined process, and what it says.
pub(crate) const LOOK: &str = "cat /proc/self/attr/current; cat /etc/hostname 2>&1; head -n 1 /etc/group";
pub(crate) const SEEN: &str =
    "pipkin-test (enforce)\ncat: can't open '/etc/hostname': Permission denied\nroot:x:0:root\n";

fn apparmor_confines() {
    load_profile();
    let plain = run("").sh(LOOK);
    assert!(plain.text().starts_with("unconfined\n") && !plain.text().contains("denied"), "{plain}");
    for options in ["", "--init", "--user 1000:1000", "--security-opt no-new-privileges=false"] {
        let told = run(&format!("--security-opt apparmor=pipkin-test {options}")).sh(LOOK);
        assert_eq!(told.text(), SEEN, "{options}: {told}");
    }
    let container = detached("--security-opt apparmor=pipkin-test", &["sleep", "1000"]);
    assert_eq!(container.verb_with("exec", &["sh", "-c", LOOK]).text(), SEEN);
}

fn an_unknown_apparmor_profile_is_told() {
    let words = ["pipkin-none", "apparmor_parser"];
    run("--security-opt apparmor=pipkin-none").sh("true").expect_refusal(&words);
}

/// Loads the policy, under which `tested_t` may not read what `secret_t` labels, and puts it in force.
pub(crate) fn enforce() -> Mounted {
    let place = Path::new("/sys/fs/selinux");
    let mounted = Mounted::new("selinuxfs", place, "");
    fs::write(place.join("load"), include_bytes!("label/selinux.policy")).expect("a policy");
    fs::write(place.join("enforce"), "1").expect("putting it in force");
    mounted
}

fn selinux_confines() {
    const READ: &str = "tr '\\0' '\\n' < /proc/self/attr/current; cat /v/file 2>&1; head -n 1 /etc/group";
    const CONFINED: &str =
        "system_u:system_r:tested_t:s0\ncat: can't open '/v/file': Permission denied\nroot:x:0:root\n";
    let _mounted = enforce();
    let folder = Folder::new();
    let _secret = Mounted::new("tmpfs", folder.path(), "context=system_u:object_r:secret_t:s0");
    folder.file("file", "secret\n");
    let plain = run("").volume(folder.path(), "/v").sh(READ);
    assert_eq!(plain.text(), "system_u:system_r:machine_t:s0\nsecret\nroot:x:0:root\n");
    for options in ["", "--init", "--security-opt no-new-privileges=false"] {
        let run = run(&format!("--security-opt label=type:tested_t {options}"));
        let told = run.volume(folder.path(), "/v").sh(READ);
        assert_eq!(told.text(), CONFINED, "{options}: {told}");
    }
    let volume = format!("{}:/v", folder.path().display());
    let options = format!("--security-opt label=type:tested_t -v {volume}");
    let container = detached(&options, &["sleep", "1000"]);
    assert_eq!(container.verb_with("exec", &["sh", "-c", READ]).text(), CONFINED);
}

fn an_unknown_selinux_label_is_told() {
    let _mounted = enforce();
    run("--security-opt label=type:none_t").sh("true").expect_refusal(&["none_t", "loaded policy"]);
}
