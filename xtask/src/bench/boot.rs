//! From the kernel's hand-over to the first instruction of what a machine was booted for, beside busybox's init on the
//! same machine.
//!
//! The times are the kernel's own: it writes one to its log when it starts PID 1, and the payload has it write another.

use super::contender::Ground;
use super::figure::Findings;
use super::sample::percentile;
use crate::build::{Arch, Face};
use crate::vm::{Machine, Tiny};
use anyhow::{Context, Result};
use rootfs_builder::tree::Tree;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What both are booted for.
const PAYLOAD: &str = "#!/bin/busybox sh
echo payload >/dev/kmsg
/bin/busybox dmesg | /bin/busybox grep -E 'Run /.* as init process|payload'
";
/// busybox's init is told all that the payload needs, and no more.
const INITTAB: &str = "::sysinit:/bin/busybox mount -t devtmpfs dev /dev
::sysinit:/bin/busybox mount -t proc proc /proc
::once:/bin/busybox sh /last
";
/// It ends no machine by itself, nor says how it went.
const LAST: &str = "/bin/busybox sh /payload
echo 'pipkin: exit status 0'
exec /bin/busybox poweroff -f
";
const TIMEOUT: Duration = Duration::from_secs(120);

/// Boots of each: a few seconds every time.
const BOOTS: usize = 5;

/// Boots each in turns.
///
/// # Errors
/// Whatever keeps a machine from booting or from telling its times.
pub(super) fn measure(ground: &Ground, _rounds: usize) -> Result<Findings> {
    let read = |path: &str| {
        let path = ground.rootfs.join(path);
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    let busybox = read("bin/busybox")?;
    let (loader, interpreter) = interpreter(&ground.rootfs)?;
    let files = [
        ("/bin/busybox", busybox.clone()),
        ("/sbin/init", busybox),
        (loader.as_str(), interpreter),
        ("/payload", PAYLOAD.into()),
        ("/last", LAST.into()),
        ("/etc/inittab", INITTAB.into()),
        // Only for the directories.
        ("/dev/none", Vec::new()),
        ("/proc/none", Vec::new()),
    ];
    let mut tree = Tree::new();
    for (path, bytes) in files {
        tree.file(path, 0o755, bytes)?;
    }
    let tiny = Tiny::new(Arch::HOST, Face::All, tree, &[])?;
    let inits = [("pipkin", "-- /bin/busybox sh /payload"), ("busybox init", "rdinit=/sbin/init")];
    let mut times_us: [Vec<u64>; 2] = Default::default();
    for _ in 0..BOOTS {
        for ((_, arguments), times_us) in inits.iter().zip(&mut times_us) {
            let outcome = tiny.run(&Machine::new(Arch::HOST), arguments, TIMEOUT)?;
            times_us.push(between_us(&outcome.output).context("looking for the times in the kernel's log")?);
        }
    }
    let mut text = String::from("# From the kernel's hand-over to the payload, in an emulated machine\n\n");
    writeln!(
        text,
        "{BOOTS} boots of each in turns.\n\n| PID 1 | ms, median | least to most |\n|---|---:|---:|"
    )?;
    for ((name, _), times_us) in inits.iter().zip(&times_us) {
        let [least, median, most] = [1, 50, 100].map(|percent| percentile(times_us, percent) as f64 / 1000.0);
        writeln!(text, "| {name} | {median:.1} | {least:.1} to {most:.1} |")?;
    }
    writeln!(
        text,
        "\n- busybox init mounts `/dev` and `/proc` and no more; Pipkin also `/sys`, `/dev/pts`, `/dev/shm`, `/run` and \
         cgroups with their controllers, brings up `lo` and names the machine."
    )?;
    Ok(Findings { text, ..Findings::default() })
}

/// The loader of Alpine's programs, and where it belongs.
fn interpreter(rootfs: &Path) -> Result<(String, Vec<u8>)> {
    let folder = rootfs.join("lib");
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if name.starts_with("ld-musl-") {
            return Ok((format!("/lib/{name}"), fs::read(folder.join(&name))?));
        }
    }
    anyhow::bail!("no loader in {}", folder.display())
}

/// The time between the two lines `[    1.234567] …` of the kernel's log.
fn between_us(output: &str) -> Option<u64> {
    let time_us = |words: &str| {
        let line = output.lines().find(|line| line.starts_with('[') && line.ends_with(words))?;
        let (seconds, rest) = line.strip_prefix('[')?.trim_start().split_once('.')?;
        let (micros, _) = rest.split_once(']')?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
    };
    time_us("] payload")?.checked_sub(time_us(" as init process")?)
}

#[cfg(test)]
mod tests {
    use super::between_us;

    #[test]
    fn times_are_those_of_the_kernels_log() {
        let output = "[    0.000000] Command line: sh /payload\n[    2.500001] Run /init as init process\nx\n[    2.600000] payload\n";
        assert_eq!(between_us(output), Some(99_999));
        assert_eq!(between_us("[    2.500001] Run /init as init process\n"), None);
    }
}
