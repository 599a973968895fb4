//! Boot mode on machines of its own: what the machine of the end-to-end cases, whose root stays the initramfs, cannot
//! show.
//!
//! Each boot shows several things: the first goes from an initramfs to a squashfs, with an interface, more file systems
//! and a clock that is wrong; the second to an ext4 whose own PID 1 takes over and is Pipkin again; the third to an EROFS
//! without the PID 1 that is asked for; the fourth is cut off while containers run, and the fifth finds what it left.

mod power_cut;
mod scenario;

use super::tally::{self, Tally};
use crate::build::{Arch, Face};
use crate::command;
use crate::setup::{self, Program};
use crate::vm::{self, Outcome, Tiny};
use anyhow::{Context, Result, bail};
use rootfs_builder::alpine::{self, Request};
use rootfs_builder::filesystem::{self, Filesystem};
use rootfs_builder::tree::Tree;
use rootfs_builder::unpack::{self, Options};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const FIRST: &str = include_str!("first.sh");
const SECOND: &str = include_str!("second.sh");
const TAKES_OVER: &str = include_str!("takes_over.sh");

/// What the roots and the interface need.
const MODULES: &[&str] =
    &["virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "ext4", "squashfs", "erofs"];
/// Longer is a hang, emulated on a slow machine too.
const TIMEOUT: Duration = Duration::from_secs(300);
/// In the initramfs, to be seen to be gone: half of it would show.
const BALLAST_BYTES: usize = 32 << 20;

/// Of a partition that goes by its identifier.
const MORE: &str = "label: gpt\nuuid=70697063-696e-4000-8000-00000000000a, ";

/// Makers of file systems, and what looks at one afterwards.
const PROGRAMS: [Program; 5] = [
    Program { name: "sfdisk", package: "fdisk" },
    Program { name: "mksquashfs", package: "squashfs-tools" },
    Program { name: "mkfs.erofs", package: "erofs-utils" },
    Program { name: "mke2fs", package: "e2fsprogs" },
    Program { name: "dumpe2fs", package: "e2fsprogs" },
];

/// Runs it for `arch`: all, or the scenarios whose name contains `case`.
///
/// # Errors
/// Whatever kept a machine from being made or from ending by itself.
pub(super) fn run(arch: Arch, case: Option<&str>) -> Result<Tally> {
    if !setup::is_root()? {
        println!("boot: making file systems with owners needs root");
        return Ok(Tally { skipped: 2, ..Tally::default() });
    }
    setup::programs(&PROGRAMS)?;
    let folder = tempfile::tempdir().context("making a folder for disks")?;
    match case {
        Some("power_cut") => return power_cut::run(arch, folder.path()),
        Some(_) => return scenario::run(arch, case),
        None => {}
    }
    let mut ballast = Tree::new();
    ballast.file("/ballast", 0o600, vec![0; BALLAST_BYTES])?;
    let tiny = Tiny::new(arch, Face::All, ballast, MODULES)?;
    let first = squashfs(arch, &tiny, folder.path())?;
    let second = ext4(arch, &tiny, folder.path())?;
    let third = erofs(arch, &tiny, folder.path())?;
    let fourth = power_cut::run(arch, folder.path())?;
    Ok(first.and([second, third, fourth, scenario::run(arch, None)?]))
}

/// Alpine.
fn root(arch: Arch) -> Result<Tree> {
    let request = Request::from_environment(match arch {
        Arch::X86_64 => alpine::Arch::X86_64,
        Arch::Aarch64 => alpine::Arch::Aarch64,
    });
    let tarball = alpine::obtain(&request, &mut |_, _| {}).context("getting Alpine")?;
    let mut tree = Tree::new();
    unpack::apply(File::open(&tarball.path)?, &mut tree, &Options::default())?;
    Ok(tree)
}

/// Alpine with Pipkin, the two ways of a distribution to know it.
fn root_with(arch: Arch, pipkin: &Path) -> Result<Tree> {
    let mut tree = root(arch)?;
    tree.host_file("/sbin/init", 0o755, pipkin)?;
    tree.hard_link("/usr/bin/pipkin", "/sbin/init")?;
    for directory in ["/data", "/fixed", "/more", "/var/lib/pipkin"] {
        tree.directory(directory, 0o755)?;
    }
    Ok(tree)
}

fn squashfs(arch: Arch, tiny: &Tiny, folder: &Path) -> Result<Tally> {
    let mut tree = root_with(arch, &tiny.pipkin)?;
    tree.file("/check", 0o755, FIRST.as_bytes())?;
    // Under a read-only root there must be something to lay the other file over.
    tree.file("/etc/resolv.conf", 0o644, b"".as_slice())?;
    let mut small = Tree::new();
    small.file("/file", 0o644, b"here".as_slice())?;
    let mut machine = vm::for_tests(arch)?;
    for (name, tree, kind, table) in [
        ("root", &tree, Filesystem::Squashfs, None),
        ("data", &small, Filesystem::Ext4, Some("label: gpt\nname=data, ")),
        ("fixed", &small, Filesystem::Erofs, Some("label: dos\nlabel-id: 0x70697063\n")),
        ("more", &small, Filesystem::Erofs, Some(MORE)),
    ] {
        let path = folder.join(name);
        filesystem::write(tree, kind, None, None, &path)?;
        machine.disks.push(match table {
            Some(table) => partitioned(&path, table)?,
            None => path,
        });
    }
    let status = folder.join("status");
    machine.status = Some(status.clone());
    machine.interface = true;
    machine.clock = Some("2001-02-03T04:05:06");
    let arguments = "root=/dev/vda pipkin.mount=PARTLABEL=data:/data:ext4:nosuid,discard \
                     pipkin.mount=PARTUUID=70697063-01:/fixed:erofs:ro \
                     pipkin.mount=PARTUUID=70697063-696e-4000-8000-00000000000a:/more:erofs:ro \
                     ip=10.9.8.7::10.9.8.1:255.255.255.0:boxy:eth0:off:10.9.8.2 \
                     pipkin.env.GIVEN=\"two words\" -- sh /check";
    let outcome = tiny.run(&machine, arguments, TIMEOUT)?;
    let inside = tally::of_output(&outcome.output, outcome.status)?;
    let told = fs::read_to_string(&status).context("reading what came by virtio-serial")?;
    Ok(inside.and([
        check("the_time_until_the_payload_is_told", outcome.output.contains("pipkin: ready in ")),
        check("the_status_comes_by_virtio_serial", told == format!("exit status {}\n", outcome.status)),
    ]))
}

fn ext4(arch: Arch, tiny: &Tiny, folder: &Path) -> Result<Tally> {
    let mut tree = root_with(arch, &tiny.pipkin)?;
    tree.file("/sbin/takes-over", 0o755, TAKES_OVER.as_bytes())?;
    tree.file("/etc/pipkin/init", 0o755, SECOND.as_bytes())?;
    tree.file("/var/lib/pipkin/seed", 0o600, vec![b's'; 512])?;
    let disk = folder.join("second");
    filesystem::write(&tree, Filesystem::Ext4, None, None, &disk)?;
    let label = setup::find("e2label").context("looking for e2label")?;
    command::run(Command::new(label).arg(&disk).arg("second"))?;
    let mut machine = vm::for_tests(arch)?;
    machine.disks.push(disk.clone());
    let arguments = "root=LABEL=second rootfstype=ext4 rw init=/sbin/takes-over pipkin.grace=2000 \
                     pipkin.mount=none:/given:tmpfs";
    let outcome = tiny.run(&machine, arguments, TIMEOUT)?;
    let Outcome { status, output } = &outcome;
    let inside = tally::of_output(output, 0)?;
    let mut dumpe2fs = Command::new(setup::find("dumpe2fs").context("looking for dumpe2fs")?);
    let header = dumpe2fs.arg("-h").arg(&disk).output().context("starting dumpe2fs")?;
    if !header.status.success() {
        bail!("dumpe2fs: {}", header.status);
    }
    let clean = !String::from_utf8_lossy(&header.stdout).contains("needs_recovery");
    Ok(inside.and([
        // The payload ordered the end and was then asked to go like everybody.
        check("an_ordered_end_asks_the_payload_to_go", *status == 7),
        check("a_written_root_is_left_clean", clean),
    ]))
}

/// A disk with one partition, which holds the file system; `table` is what sfdisk(8) is told before its place.
fn partitioned(filesystem: &Path, table: &str) -> Result<PathBuf> {
    const START_BYTES: u64 = 1 << 20;
    let contents = fs::read(filesystem).with_context(|| format!("reading {}", filesystem.display()))?;
    let disk = filesystem.with_extension("disk");
    let file = File::create(&disk).with_context(|| format!("making {}", disk.display()))?;
    // The table has a copy at the end.
    file.set_len(contents.len() as u64 + 2 * START_BYTES)?;
    file.write_all_at(&contents, START_BYTES)?;
    let table = format!("{table}start={}, size={}\n", START_BYTES / 512, contents.len() / 512);
    let mut sfdisk = Command::new(setup::find("sfdisk").context("looking for sfdisk")?);
    let mut child =
        sfdisk.arg("--quiet").arg(&disk).stdin(Stdio::piped()).spawn().context("starting sfdisk")?;
    child.stdin.take().context("taking sfdisk's input")?.write_all(table.as_bytes())?;
    let status = child.wait().context("waiting for sfdisk")?;
    if !status.success() {
        bail!("sfdisk: {status}");
    }
    Ok(disk)
}

fn erofs(arch: Arch, tiny: &Tiny, folder: &Path) -> Result<Tally> {
    let disk = folder.join("third");
    filesystem::write(&root_with(arch, &tiny.pipkin)?, Filesystem::Erofs, None, None, &disk)?;
    let mut machine = vm::for_tests(arch)?;
    machine.disks.push(disk);
    machine.typed = &[("# ", "grep ' / ' /proc/mounts; exit\n")];
    let arguments = format!("root=UUID={} init=/no/such pipkin.rescue", filesystem::UUID);
    let Outcome { status, output } = tiny.run(&machine, &arguments, TIMEOUT)?;
    Ok([
        check("an_erofs_found_by_its_uuid_is_the_root", output.contains("/dev/vda / erofs ro")),
        check(
            "an_absent_pid_1_is_told",
            output.contains("pipkin: execute /no/such: no such file or directory"),
        ),
        check("nothing_else_runs_in_its_place", status == 125),
    ]
    .into_iter()
    .sum())
}

fn check(name: &str, holds: bool) -> Tally {
    println!("test boot::{name} ... {}", if holds { "ok" } else { "FAILED" });
    if holds { Tally::SUCCESS } else { Tally::FAILURE }
}
