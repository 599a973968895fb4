//! Configurations as engines write them, and arbitrary ones.

use super::*;
use pipkin::plan::{HostFacts, Plan, resolve};
use pipkin::spec::{Attributes, CpuMax, Limit, MountOption, Resources, Source};
use proptest::prelude::*;

fn context() -> Context<'static> {
    let id = Id::new(b"c").unwrap();
    Context {
        id,
        bundle: b"/",
        kernel: (6, 18),
        preserved: 0,
        keeps_keyring: false,
        held: CapabilitySet::ALL,
        further: false,
    }
}

/// A configuration with a bit of everything; its root is one that is there.
const WHOLE: &str = r#"{
"ociVersion": "1.0.2-dev", "hostname": "h", "annotations": {"a.b": "c"}, "unknown": {"x": [1, {}]},
"root": {"path": "/", "readonly": true},
"process": {"terminal": false, "cwd": "/", "args": ["sh", "-c", "true"], "env": ["PATH=/bin", "A=b"],
  "user": {"uid": 1, "gid": 2, "additionalGids": [3]}, "noNewPrivileges": true, "oomScoreAdj": 10,
  "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6}],
  "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}},
"mounts": [
  {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec"]},
  {"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=64k"]},
  {"destination": "/data", "type": "bind", "source": "/tmp", "options": ["rbind", "rro", "rslave"]},
  {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro"]}],
"hooks": {"prestart": [{"path": "/bin/true", "timeout": 5}]},
"linux": {
  "namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "cgroup"}, {"type": "time"},
    {"type": "network", "path": "/proc/1/ns/net"}],
  "timeOffsets": {"boottime": {"secs": -3, "nanosecs": 5}},
  "cgroupsPath": "/a/b", "rootfsPropagation": "rslave", "maskedPaths": ["/proc/kcore"],
  "sysctl": {"net/core/somaxconn": "5"},
  "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438}],
  "resources": {
    "memory": {"limit": 1000, "swap": 3000, "reservation": 500}, "cpu": {"shares": 2048, "quota": 5000, "burst": 7, "idle": 1},
    "pids": {"limit": 0}, "hugepageLimits": [{"pageSize": "2MB", "limit": 9}], "rdma": {"mlx": {"hcaHandles": 2}},
    "blockIO": {"weight": 1000, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 77}]},
    "unified": {"memory.high": "900"}},
  "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}"#;

#[test]
fn a_whole_configuration_is_understood() {
    let value = read(WHOLE.as_bytes()).unwrap();
    let spec = spec(&value, &context()).unwrap();
    assert!(spec.process.args.list == [c"sh", c"-c", c"true"] && spec.process.path == b"/bin");
    assert!(spec.process.home.is_some() && spec.process.filter.is_some());
    assert_eq!(spec.start, Start::OnRequest { hooks: true });
    assert_eq!(spec.cgroup, Some(c"/a/b"));
    assert_eq!(
        spec.mounts[1].source,
        Source::FileSystem {
            kind: c"tmpfs",
            options: &[MountOption::Value(c"mode", c"755"), MountOption::Value(c"size", c"64k")],
        }
    );
    assert_eq!(spec.mounts[2].attributes, Attributes { set_recursive: 1, ..Attributes::default() });
    assert_eq!(spec.mounts[2].propagation, Some(Propagation::Slave));
    assert_eq!(spec.mounts[3].source, Source::Cgroup);
    assert_eq!(spec.sysctls[0].name, c"net.core.somaxconn");
    let expected = Resources {
        memory_max: Some(Limit::At(1000)),
        swap_max: Some(Limit::At(2000)),
        memory_low: Some(500),
        cpu_max: Some(CpuMax { quota: Limit::At(5000), period_us: 100_000 }),
        cpu_weight: Some(173),
        pids_max: Some(Limit::At(1)),
        io_weight: Some(10_000),
        devices: spec.resources.devices,
        unified: &[
            ("cpu.max.burst", "7"),
            ("cpu.idle", "1"),
            ("hugetlb.2MB.max", "9"),
            ("hugetlb.2MB.rsvd.max", "9"),
            ("rdma.max", "mlx hca_handle=2"),
            ("memory.high", "900"),
        ],
        ..Resources::default()
    };
    assert_eq!(spec.resources, expected);
    assert_eq!(spec.resources.devices[0].read_bps, Some(77));
    assert_eq!(hooks(&value, "prestart").unwrap()[0].timeout, Some(5));
    resolve(&spec, &HostFacts::IDEAL, &mut Plan::default()).unwrap();
}

#[test]
fn shares_become_weights() {
    let weight = |shares: u64| {
        let text = format!(r#"{{"cpu": {{"shares": {shares}}}}}"#);
        resources(Some(&json::parse(text.as_bytes()).unwrap())).unwrap().cpu_weight
    };
    for (shares, expected) in [
        (0, None),
        (1, Some(1)),
        (2, Some(1)),
        (512, Some(58)),
        (1024, Some(100)),
        (1536, Some(136)),
        (2048, Some(173)),
        (262_144, Some(10_000)),
        (u64::MAX, Some(10_000)),
    ] {
        assert_eq!(weight(shares), expected, "{shares}");
    }
}

#[test]
fn cpus_are_listed() {
    let mask = |text: &str| {
        process::cpus(&json::parse(format!("\"{text}\"").as_bytes()).unwrap()).map(|m| m.first().copied())
    };
    assert_eq!(mask("0-2,5"), Ok(Some(0b10_0111)));
    assert_eq!(mask(""), Ok(None));
    for wrong in ["a", "1-", "-1", "99999", "1,x"] {
        assert!(mask(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_process_alone_is_read_by_the_same_table() {
    assert!(read_process(br#"{"cwd": "/", "args": ["true"]}"#).is_ok());
    assert!(read_process(br#"{"args": ["true"]}"#).unwrap_err().contains("cwd is missing"));
    let told = read_process(br#"{"cwd": "/", "args": ["true", 7]}"#).unwrap_err();
    assert_eq!(told, "args[1], line 1, column 31: this must be a string");
}

#[test]
fn every_word_of_the_table_is_a_kind_or_a_name() {
    let kinds = ["s", "p", "b", "u", "U", "i", "[", "*", "{", "}"];
    let (mut depth, mut names) = (0, 0);
    for word in schema::CONFIG.split_ascii_whitespace() {
        match word {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ if kinds.contains(&word) => {}
            name => {
                names += 1;
                assert!(
                    name.trim_end_matches('!').bytes().all(|byte| byte.is_ascii_alphanumeric()),
                    "{name}"
                );
            }
        }
    }
    assert_eq!(depth, 0);
    assert!(names > 150, "{names}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever stands in the file, it is refused with a sentence or makes a plan; nothing panics.
    #[test]
    fn any_text_is_a_plan_or_a_sentence(
        cuts in proptest::collection::vec((0..WHOLE.len(), 0..12_usize, r#"[]\[{}:,"0-9a-z/.-]{0,6}|null|true|"x"|-1"#), 1..4),
    ) {
        let mut text = WHOLE.as_bytes().to_vec();
        for (at, length, new) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, new.bytes());
        }
        let told = match read(&text) {
            Err(sentence) => sentence,
            Ok(value) => match spec(&value, &context()) {
                Err(fault) => sentence(&fault, &value, &text),
                Ok(spec) => {
                    let mut plan = Plan::default();
                    match resolve(&spec, &HostFacts::IDEAL, &mut plan) {
                        Ok(()) => {
                            prop_assert!(!plan.child.is_empty());
                            "line".to_owned()
                        }
                        Err(conflict) => {
                            prop_assert!(!conflict.what.is_empty() && !conflict.why.is_empty());
                            "line".to_owned()
                        }
                    }
                }
            },
        };
        prop_assert!(told.contains("line"), "{}", told);
    }
}
