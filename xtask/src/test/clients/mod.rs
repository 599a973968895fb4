//! Real engines drive Pipkin as their runtime: podman, containerd and Docker as the distribution ships them.
//!
//! They run in a machine, where cgroups can limit and nothing they leave behind matters. Its root is a disk of Debian's
//! packages, mounted read-only by Pipkin, its PID 1; a second disk holds the scripts with the cases, the shipped
//! program and an image of Alpine. In a second machine from the same disks Pipkin hands over to systemd, which then
//! makes the cgroups that runtimes ask it for, those of a user who is not root too.

use super::tally::{self, Tally};
use crate::build::{Arch, Face};
use crate::setup::{self, Program};
use crate::vm::{self, Tiny, Userland};
use anyhow::{Context, Result};
use rootfs_builder::alpine::{self, Request};
use rootfs_builder::filesystem::{self, Filesystem};
use rootfs_builder::image::{self, Metadata};
use rootfs_builder::tree::Tree;
use rootfs_builder::unpack::{self, Options};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SCRIPTS: [(&str, &str); 9] = [
    ("/case.sh", include_str!("case.sh")),
    ("/podman.sh", include_str!("podman.sh")),
    ("/containerd.sh", include_str!("containerd.sh")),
    ("/docker.sh", include_str!("docker.sh")),
    ("/machine.sh", include_str!("machine.sh")),
    ("/systemd.sh", include_str!("systemd.sh")),
    ("/rootless.sh", include_str!("rootless.sh")),
    ("/rootless.conf", include_str!("rootless.conf")),
    ("/managed.sh", include_str!("managed.sh")),
];

/// What the engines need beside a disk to be on.
const MODULES: &[&str] =
    &["virtio_pci", "virtio_blk", "ext4", "overlay", "veth", "bridge", "loop", "nf_tables", "tun"];
/// All cases together, emulated on a slow machine: longer is a hang.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);
const MEMORY_MIB: u32 = 2048;

const USERLAND: Userland<'static> = Userland {
    packages: &[
        "base-files",
        "base-passwd",
        "coreutils",
        "dash",
        "findutils",
        "grep",
        "mawk",
        "mount",
        "procps",
        "sed",
        "bsdutils",
        "util-linux",
        "iproute2",
        "podman",
        "conmon",
        "catatonit",
        "uidmap",
        "slirp4netns",
        "netavark",
        "containerd",
        "docker.io",
        "systemd",
        "systemd-sysv",
        "dbus",
        "dbus-user-session",
    ],
    left_out: &["debconf", "dirmngr", "dpkg", "gnupg", "gpg", "libperl", "perl", "pinentry", "usrmerge"],
    files: &[
        ("/etc/containers/containers.conf", include_str!("containers.conf")),
        ("/etc/containers/policy.json", r#"{ "default": [{ "type": "insecureAcceptAnything" }] }"#),
        ("/etc/hosts", "127.0.0.1 localhost\n"),
        ("/etc/machine-id", ""),
        ("/etc/systemd/system/managed.service", include_str!("managed.service")),
        // Its sessions by PAM are set up by the scripts of a package only.
        (
            "/etc/systemd/system/user@.service.d/no-pam.conf",
            "[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n",
        ),
        ("/etc/resolv.conf", ""),
        ("/etc/subuid", "containers:200000:400000\nu:1000000:65536\n"),
        ("/etc/subgid", "containers:200000:400000\nu:1000000:65536\n"),
    ],
    directories: &[
        "/client",
        "/root",
        "/home/u",
        "/etc/docker",
        "/dev",
        "/proc",
        "/sys",
        "/run",
        "/tmp",
        "/var",
    ],
    links: &[
        ("/usr/bin/awk", "mawk"),
        ("/usr/bin/pipkin", "/client/pipkin"),
        ("/etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target"),
        ("/etc/systemd/system/multi-user.target.wants/managed.service", "../managed.service"),
    ],
    accounts: &[("u", 1000, "/home/u"), ("messagebus", 101, "/nonexistent")],
};

/// Runs all of it.
///
/// # Errors
/// Whatever kept the machine from being made or from ending by itself.
pub(super) fn run(arch: Arch, case: Option<&str>) -> Result<Tally> {
    if !setup::is_root()? {
        println!("clients: making file systems with owners needs root");
        return Ok(Tally { skipped: 1, ..Tally::default() });
    }
    setup::programs(&[Program { name: "mke2fs", package: "e2fsprogs" }])?;
    let tiny = Tiny::new(arch, Face::All, Tree::new(), MODULES)?;
    let folder = tempfile::tempdir().context("making a folder for disks")?;
    let mut machine = vm::for_tests(arch)?;
    machine.memory_mib = MEMORY_MIB;
    machine.disks = vec![USERLAND.disk(arch)?, client(arch, &tiny.pipkin, folder.path())?];
    let only = case.map(|case| format!("pipkin.env.ONLY={case} ")).unwrap_or_default();
    let arguments = format!("root=/dev/vda ro pipkin.mount=/dev/vdb:/client:ext4:ro {only}");
    let outcome = tiny.run(&machine, &format!("{arguments}-- sh /client/machine.sh"), TIMEOUT)?;
    let engines = tally::of_output(&outcome.output, outcome.status)?;
    let managed = format!(
        "{arguments}pipkin.mount=tmpfs:/var:tmpfs pipkin.mount=tmpfs:/tmp:tmpfs init=/lib/systemd/systemd"
    );
    let ended = tiny.run_to_any_end(&machine, &managed, TIMEOUT)?;
    // systemd tells nobody how its service ended: what that printed does.
    let whole = u8::from(!ended.output.contains("test result: ok. "));
    Ok(engines.and([tally::of_output(&ended.output, whole)?]))
}

/// The second disk.
fn client(arch: Arch, pipkin: &Path, folder: &Path) -> Result<PathBuf> {
    let mut tree = Tree::new();
    for (path, text) in SCRIPTS {
        tree.file(path, 0o755, text.as_bytes())?;
    }
    tree.host_file("/pipkin", 0o755, pipkin)?;
    let archive = folder.join("alpine.tar");
    image_of_alpine(arch, &archive)?;
    tree.host_file("/alpine.tar", 0o644, &archive)?;
    let disk = folder.join("client");
    filesystem::write(&tree, Filesystem::Ext4, None, None, &disk)?;
    Ok(disk)
}

/// An archive that each of the engines can load.
fn image_of_alpine(arch: Arch, path: &Path) -> Result<()> {
    let arch = match arch {
        Arch::X86_64 => alpine::Arch::X86_64,
        Arch::Aarch64 => alpine::Arch::Aarch64,
    };
    let tarball =
        alpine::obtain(&Request::from_environment(arch), &mut |_, _| {}).context("getting Alpine")?;
    let mut tree = Tree::new();
    unpack::apply(File::open(&tarball.path)?, &mut tree, &Options::default())?;
    let near = path.parent().unwrap_or(path);
    let out = File::create(path).with_context(|| format!("making {}", path.display()))?;
    let metadata = Metadata {
        arch,
        config: image::config_of(arch),
        reference: Some("localhost/alpine:latest".into()),
        created: Some(0),
    };
    image::write_archive(&tree, &metadata, near, out)?;
    Ok(())
}
