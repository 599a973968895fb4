//! The container for the OCI runtimes: the one that Pipkin makes by default, in their words.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes `config.json` into `bundle`, for `command` in the root file system `rootfs`, and returns that folder.
///
/// # Errors
/// A folder or file that cannot be written.
pub(super) fn write(bundle: &Path, rootfs: &Path, command: &[&str]) -> Result<PathBuf> {
    fs::create_dir_all(bundle).with_context(|| format!("making {}", bundle.display()))?;
    let path = bundle.join("config.json");
    let text = serde_json::to_vec_pretty(&config(rootfs, command)).context("writing JSON")?;
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(bundle.to_path_buf())
}

fn config(rootfs: &Path, command: &[&str]) -> Value {
    let kept = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "SETFCAP",
    ];
    let kept: Vec<String> = kept.iter().map(|name| format!("CAP_{name}")).collect();
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": command,
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
            "capabilities": { "bounding": kept, "effective": kept, "permitted": kept }
        },
        "root": { "path": rootfs.to_string_lossy(), "readonly": false },
        "hostname": "bench",
        "mounts": mounts(),
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/selinux"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn mounts() -> Value {
    json!([
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "ro"])
    ])
}

fn mount(target: &str, kind: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": kind, "source": kind, "options": options })
}
