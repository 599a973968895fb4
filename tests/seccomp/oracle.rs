//! docker's and podman's own profiles, compiled by Pipkin and by libseccomp: both must say the same of every call.

use super::oci::seccomp::{Context, Unknown, compile};
use libtest_mimic::{Completion, Failed, Trial};
use pipkin::bpf::policy::{Action, Arch, Call};
use pipkin::bpf::simulator;
use pipkin::bpf::syscall::Syscall;
use pipkin::spec::CapabilitySet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// podman's, from Debian's golang-github-containers-common.
const PODMANS: &str = "/usr/share/containers/seccomp.json";
/// The variable that says where docker's is.
const DOCKERS: &str = "PIPKIN_DOCKER_PROFILE";
/// Debian's own interpreter, for which python3-seccomp is made.
const PYTHON: &str = "/usr/bin/python3";

/// What either answers, as the kernel has it.
const EPERM: u32 = Action::Errno(1).value();
const ENOSYS: u32 = Action::Errno(38).value();

/// Where the calls begin that 32-bit Arm has for itself, and numbers around them and around the ends of the others.
const PRIVATE: u32 = 0xf_0000;
const FAR: [u32; 14] = [
    0xe_ffff,
    PRIVATE,
    PRIVATE + 1,
    PRIVATE + 2,
    PRIVATE + 3,
    PRIVATE + 4,
    PRIVATE + 5,
    PRIVATE + 6,
    PRIVATE + 7,
    0x3fff_ffff,
    0x4000_0000,
    0x4000_0029,
    0x7fff_ffff,
    u32::MAX,
];

/// Sets of capabilities under which the profile differs.
const SETS: [&str; 4] = [
    "",
    "CAP_CHOWN,CAP_SYS_CHROOT",
    "CAP_AUDIT_WRITE,CAP_SYS_PTRACE,CAP_SYS_TIME,CAP_SYS_RAWIO,CAP_SYS_MODULE",
    "CAP_SYS_ADMIN,CAP_DAC_READ_SEARCH,CAP_SYS_PACCT,CAP_SYS_TTY_CONFIG,CAP_SYSLOG,CAP_BPF,CAP_PERFMON,CAP_SYS_NICE",
];

pub(super) fn cases() -> Vec<Trial> {
    let podmans = Some(PathBuf::from(PODMANS)).filter(|path| path.exists());
    let dockers = env::var_os(DOCKERS).map(PathBuf::from);
    let case = |name: &str, profile: Option<PathBuf>| {
        Trial::ignorable_test(name, move || both_agree(profile.as_deref()))
    };
    vec![
        case("podman_profile_as_libseccomp_reads_it", podmans),
        case("docker_profile_as_libseccomp_reads_it", dockers),
    ]
}

fn both_agree(profile: Option<&Path>) -> Result<Completion, Failed> {
    let Some(profile) = profile else { return Ok(Completion::ignored_with("the profile is not there")) };
    if !Command::new(PYTHON).args(["-c", "import seccomp"]).output().is_ok_and(|run| run.status.success()) {
        return Ok(Completion::ignored_with("libseccomp's Python module (python3-seccomp) is not installed"));
    }
    let both = [(Arch::X86_64, Arch::X86), (Arch::Aarch64, Arch::Arm)];
    both.iter()
        .flat_map(|arches| SETS.iter().map(move |capabilities| (arches, capabilities)))
        .try_for_each(|((arch, narrow), capabilities)| compare(profile, *arch, *narrow, capabilities))
        .map(|()| Completion::Completed)
}

/// Compares both programs for one architecture, with that of its 32-bit programs, and one set of capabilities.
fn compare(profile: &Path, arch: Arch, narrow: Arch, capabilities: &str) -> Result<(), Failed> {
    let oracle = oracle(profile, arch, capabilities)?;
    let names = capabilities.split(',').filter_map(|name| CapabilitySet::number(name.as_bytes()));
    let capabilities = names.fold(0, |set, number| set | 1 << number);
    let text = fs::read(profile)?;
    let ours = compile(&text, Context { arch, capabilities, kernel: (6, 1), unknown: Unknown::Refuse })
        .map_err(|fault| fault.in_document(&text))?;
    let values = argument_values(&text)?;
    for arch in [arch.audit(), narrow.audit(), Arch::Arm.audit() ^ 1] {
        let named = named(&text, arch)?;
        for number in (0..=600).chain(FAR) {
            let beside = |other: &u32| (*other < PRIVATE) == (number < PRIVATE);
            let newest = named.iter().copied().filter(beside).max();
            for (first, third) in
                values.iter().flat_map(|first| values.iter().map(move |third| (*first, *third)))
            {
                let wide = if arch == narrow.audit() { 0xffff_ffff } else { u64::MAX };
                let (first, third) = (first & wide, third & wide);
                let call = Call { number, arch, arguments: [first, third, third, first, 0, wide] };
                let [one, other] = [&ours.program, &oracle].map(|program| simulator::run(program, &call));
                let (one, other) = (one.map_err(say)?, other.map_err(say)?);
                // libseccomp knows nothing of it: runtimes add it to what it makes.
                let newer = one.value == ENOSYS && other.value == EPERM && Some(number) > newest;
                if lenient(one.value) != lenient(other.value) && !newer {
                    return Err(format!("{call:x?}: {:#x}, libseccomp {:#x}", one.value, other.value).into());
                }
                // Without argument rules on either side, other arguments change nothing.
                if !one.by_argument && !other.by_argument {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn say(invalid: simulator::Invalid) -> Failed {
    format!("{invalid:?}").into()
}

/// A call of a foreign architecture kills the process here, the thread there.
fn lenient(value: u32) -> u32 {
    if value == 0x8000_0000 { 0 } else { value }
}

/// The numbers of the calls that the profile names.
fn named(text: &[u8], arch: u32) -> Result<Vec<u32>, Failed> {
    let profile: serde_json::Value = serde_json::from_slice(text)?;
    let Some(arch) = Arch::ALL.into_iter().find(|known| known.audit() == arch) else { return Ok(Vec::new()) };
    let blocks = profile["syscalls"].as_array().ok_or("syscalls")?;
    let names = blocks.iter().filter_map(|block| block["names"].as_array()).flatten();
    Ok(names.filter_map(|name| Syscall::named(name.as_str()?)?.number(arch)).collect())
}

/// The values around those that the profile names.
fn argument_values(text: &[u8]) -> Result<Vec<u64>, Failed> {
    let profile: serde_json::Value = serde_json::from_slice(text)?;
    let blocks = profile["syscalls"].as_array().ok_or("syscalls")?;
    let named = blocks.iter().filter_map(|block| block["args"].as_array()).flatten();
    let named: Vec<u64> = named.filter_map(|argument| argument["value"].as_u64()).collect();
    let near =
        named.iter().flat_map(|v| [v.wrapping_sub(1), *v, v + 1, v | 1 << 32, v | 1 << 63, v & 0xffff]);
    let mut values: Vec<u64> = near.chain([0, 1, 40, u64::MAX]).collect();
    values.sort_unstable();
    values.dedup();
    Ok(values)
}

/// The program that libseccomp makes of the profile.
fn oracle(profile: &Path, arch: Arch, capabilities: &str) -> Result<Vec<u64>, Failed> {
    let output = env::temp_dir().join(format!(
        "pipkin-oracle-{}-{:?}.bpf",
        std::process::id(),
        std::thread::current().id()
    ));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seccomp/oracle.py");
    let run = Command::new(PYTHON)
        .arg(script)
        .arg(profile)
        .args([&format!("{arch:?}"), capabilities])
        .arg(&output)
        .output()?;
    let program = fs::read(&output);
    fs::remove_file(&output)?;
    if !run.status.success() {
        return Err(String::from_utf8_lossy(&run.stderr).into_owned().into());
    }
    Ok(program?.chunks_exact(8).filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?))).collect())
}
