//! `features` and `spec`: what this runtime can do, and a configuration to begin with.

use super::super::json::Json;
use super::super::message::Failure;
use super::super::{ExitCode, Outcome, report};
use super::{Global, Sorted};
use crate::oci::config;
use pipkin::spec::CAPABILITY_NAMES;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Actions, operators and flags of seccomp that profiles may name.
const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];
const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];
const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];
#[cfg(target_arch = "x86_64")]
const ARCHES: [&str; 2] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"];
#[cfg(target_arch = "aarch64")]
const ARCHES: [&str; 2] = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];

fn words<'w>(json: &mut Json, name: &str, words: impl IntoIterator<Item = &'w str>) {
    json.key(name.as_bytes()).open(b'[');
    for word in words {
        json.string(word.as_bytes());
    }
    json.close(b']');
}

/// An object of one switch.
fn switch(json: &mut Json, name: &str, inner: &str, on: bool) {
    json.key(name.as_bytes()).open(b'{').key(inner.as_bytes()).boolean(on).close(b'}');
}

/// `features` (features.md, features-linux.md).
pub(super) fn features(_: &Global, _: &Sorted<'_>) -> Outcome {
    let mut json = Json::default();
    json.open(b'{').key(b"ociVersionMin").string(b"1.0.0").key(b"ociVersionMax").string(b"1.3.0");
    words(&mut json, "hooks", config::HOOKS);
    let fixed = [
        "bind",
        "rbind",
        "private",
        "rprivate",
        "shared",
        "rshared",
        "slave",
        "rslave",
        "unbindable",
        "runbindable",
        "idmap",
        "ridmap",
        "tmpcopyup",
    ];
    json.key(b"mountOptions").open(b'[');
    for name in config::mount_options().chain(fixed) {
        json.string(name.as_bytes());
        if config::is_recursive(name) {
            json.string(&[b"r", name.as_bytes()].concat());
        }
    }
    json.close(b']');
    json.key(b"linux").open(b'{');
    words(&mut json, "namespaces", config::NAMESPACES);
    let names: Vec<String> = CAPABILITY_NAMES.iter().map(|name| ["CAP_", name].concat()).collect();
    words(&mut json, "capabilities", names.iter().map(String::as_str));
    json.key(b"cgroup").open(b'{');
    for (name, on) in [("v1", false), ("v2", true), ("systemd", true), ("systemdUser", true), ("rdma", true)]
    {
        json.key(name.as_bytes()).boolean(on);
    }
    json.close(b'}').key(b"seccomp").open(b'{').key(b"enabled").boolean(true);
    words(&mut json, "actions", ACTIONS);
    words(&mut json, "operators", OPERATORS);
    words(&mut json, "archs", ARCHES);
    words(&mut json, "knownFlags", FLAGS);
    words(&mut json, "supportedFlags", FLAGS);
    json.close(b'}');
    for name in ["apparmor", "selinux", "netDevices"] {
        switch(&mut json, name, "enabled", true);
    }
    json.key(b"intelRdt").open(b'{');
    for name in ["enabled", "schemata", "monitoring"] {
        json.key(name.as_bytes()).boolean(false);
    }
    json.close(b'}');
    json.key(b"memoryPolicy").open(b'{');
    words(&mut json, "modes", config::MEMORY_MODES.iter().map(|(name, _)| *name));
    words(&mut json, "flags", config::MEMORY_FLAGS.iter().map(|(name, _)| *name));
    json.close(b'}');
    json.key(b"mountExtensions").open(b'{');
    switch(&mut json, "idmap", "enabled", true);
    json.close(b'}').close(b'}');
    json.key(b"annotations").open(b'{').key(b"dev.pipkin.version");
    json.string(env!("CARGO_PKG_VERSION").as_bytes()).close(b'}');
    // No annotation changes what a container may do.
    words(&mut json, "potentiallyUnsafeConfigAnnotations", []);
    json.close(b'}');
    report::write(&json.into_text())
}

/// A configuration to begin with; `@` stands for what a user without root's rights needs.
const CONFIG: &str = r#"{
  "ociVersion": "1.3.0",
  "process": {
    "terminal": false,
    "user": { "uid": 0, "gid": 0 },
    "args": ["sh"],
    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
    "cwd": "/",
    "capabilities": {
      "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "effective": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "permitted": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    },
    "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
    "noNewPrivileges": true
  },
  "root": { "path": "rootfs", "readonly": true },
  "hostname": "pipkin",
  "mounts": [
    { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
      "options": ["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"] },
    { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
      "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"@gid@] },
    { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
      "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
    { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
    { "destination": "/sys", "type": @sys@, "options": [@rbind@"nosuid", "noexec", "nodev", "ro"] }@cgroup@
  ],
  "linux": {
    "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, @own@],
    @maps@"maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
      "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
      "/sys/devices/virtual/powercap", "/sys/firmware"],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
  }
}
"#;

/// `spec`: writes `config.json` where there is none.
pub(super) fn spec(_: &Global, typed: &Sorted<'_>) -> Outcome {
    let path = std::path::Path::new(typed.last("--bundle").unwrap_or(".")).join("config.json");
    let rootless = typed.has("--rootless");
    let id = |id: u32| id.to_string();
    let map =
        |outside: u32| [r#"[{ "containerID": 0, "hostID": "#, &id(outside), r#", "size": 1 }]"#].concat();
    let maps = [
        r#""uidMappings": "#,
        &map(rustix::process::geteuid().as_raw()),
        ", \"gidMappings\": ",
        &map(rustix::process::getegid().as_raw()),
        ",\n    ",
    ]
    .concat();
    let cgroup = ",\n    { \"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\",\n      \
                  \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"ro\"] }";
    let mut text = CONFIG.to_owned();
    for (place, root, user) in [
        ("@gid@", r#", "gid=5""#, ""),
        ("@sys@", r#""sysfs", "source": "sysfs""#, r#""none", "source": "/sys""#),
        ("@rbind@", "", r#""rbind", "#),
        ("@cgroup@", cgroup, ""),
        ("@own@", r#"{ "type": "network" }, { "type": "cgroup" }"#, r#"{ "type": "user" }"#),
        ("@maps@", "", &maps),
    ] {
        text = text.replace(place, if rootless { user } else { root });
    }
    let fail = |error| Failure::io("write", path.as_os_str().as_encoded_bytes(), &error);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path).map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(fail)?;
    Ok(ExitCode::SUCCESS)
}
