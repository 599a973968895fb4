//! The process (config.md, process).

use super::{Context, c_text};
use crate::oci::json::{self, Fault, Value};
use crate::oci::keep;
use crate::oci::seccomp::{self, Unknown, compile_value};
use pipkin::bpf::policy::Arch;
use pipkin::spec::{
    Account, Capabilities, CapabilitySet, Confinement, Filter, MemoryPolicy, Process, Rlimit, RlimitKind,
    Scheduler, Tuning, User, WindowSize,
};

/// Where a command is sought when the environment has no `PATH` (execvp(3)).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";
/// The last id means "no change" to the kernel.
const NO_ID: u64 = u32::MAX as u64;

/// What waits where the configuration names no process, which is needed only to start one (config.md, process). The
/// root is there in every container; nobody ever executes it.
const NOBODY: &[u8] = br#"{ "args": ["/"] }"#;

/// Reads the process that the configuration names.
pub(super) fn first(value: &Value<'_>, context: &Context<'_>) -> Result<Process<'static>, Fault> {
    let nobody;
    let process = match value.at("process") {
        Some(process) => process,
        None => {
            nobody = json::parse(NOBODY)?;
            &nobody
        }
    };
    let capabilities = capabilities(process)?;
    let seccomp = value.at("linux.seccomp").filter(|profile| !profile.members().is_empty());
    let filter = match seccomp {
        Some(profile) => filter(profile, capabilities, context)?,
        None => None,
    };
    let mut read = read(process, capabilities, filter, context)?;
    read.tuning.personality = domain(value)?;
    read.tuning.memory = memory_policy(value)?;
    Ok(read)
}

/// Reads a process that gets this filter, as `exec` starts one beside the first.
///
/// # Errors
/// The first value that has no meaning.
pub(crate) fn read(
    process: &Value<'_>,
    capabilities: Capabilities,
    filter: Option<Filter<'static>>,
    context: &Context<'_>,
) -> Result<Process<'static>, Fault> {
    let args = words(process, "args")?;
    check_lengths(process)?;
    if args.is_empty() {
        return Err(process.fault("args is missing: there must be a command"));
    }
    let env = words(process, "env")?;
    let variable = |name: &[u8]| env.iter().rev().find_map(|entry| entry.to_bytes().strip_prefix(name));
    let path = keep::list(variable(b"PATH=").unwrap_or(DEFAULT_PATH).to_vec());
    let home = variable(b"HOME=").is_none().then(keep::slot);
    Ok(Process {
        args: keep::strings(args, None),
        env: keep::strings(env, home),
        path,
        home,
        cwd: process.at("cwd").map_or(Ok(c"/"), c_text)?,
        user: user(process)?,
        umask: umask(process)?,
        capabilities,
        no_new_privileges: process.is_true("noNewPrivileges"),
        filter,
        rlimits: keep::list(rlimits(process)?),
        oom_score_adj: oom_score_adj(process)?,
        terminal: process.is_true("terminal").then(|| window_size(process)),
        stdin: true,
        confinement: labels(process)?,
        tuning: Tuning {
            personality: None,
            memory: None,
            scheduler: scheduler(process)?,
            io_priority: io_priority(process)?,
            cpus: affinity(process, context.further)?,
            preserved: context.preserved,
            keeps_keyring: context.keeps_keyring,
        },
    })
}

fn words(value: &Value<'_>, name: &str) -> Result<Vec<&'static std::ffi::CStr>, Fault> {
    value.elements(name).iter().map(c_text).collect()
}

/// The CPUs of a further process: those that it has in the end. The first process has those of its cgroup.
fn affinity(process: &Value<'_>, further: bool) -> Result<&'static [u64], Fault> {
    let mut chosen: &[u64] = &[];
    for name in ["execCPUAffinity.initial", "execCPUAffinity.final"] {
        if let Some(list) = process.at(name) {
            chosen = cpus(list)?;
        }
    }
    Ok(if further { chosen } else { &[] })
}

/// The kernel takes strings of up to 128 KiB, and up to 6 MiB of them (execve(2)).
fn check_lengths(process: &Value<'_>) -> Result<(), Fault> {
    const LONGEST: usize = 128 << 10;
    const MOST: usize = 6 << 20;
    let mut sum = 0;
    for name in ["args", "env"] {
        for given in process.elements(name) {
            let length = given.text()?.len() + 1;
            sum += length + size_of::<usize>();
            if length > LONGEST || sum > MOST {
                return Err(given.fault("the kernel takes strings of up to 128 KiB, 6 MiB of them in all"));
            }
        }
    }
    Ok(())
}

/// The labels; the plan refuses one whose module is not in force.
fn labels(process: &Value<'_>) -> Result<Confinement<'static>, Fault> {
    let label = |name: &str| match process.at(name) {
        Some(label) if !matches!(label.text(), Ok("" | "unconfined")) => c_text(label).map(Some),
        _ => Ok(None),
    };
    Ok(Confinement {
        apparmor: label("apparmorProfile")?,
        selinux: label("selinuxLabel")?,
        ..Confinement::NONE
    })
}

fn user(process: &Value<'_>) -> Result<User<'static>, Fault> {
    let id = |name: &str| match process.at(name) {
        Some(given) if given.whole(NO_ID) == Ok(NO_ID) => {
            Err(given.fault("this is no id: 0 to 4294967294 are"))
        }
        _ => Ok(process.number_at(name).unwrap_or_default() as u32),
    };
    // As many as fit beside the first.
    const MOST: usize = 255;
    let mut additional = Vec::new();
    for given in process.elements("user.additionalGids") {
        if additional.len() == MOST {
            return Err(given.fault("Pipkin gives up to 255 of these"));
        }
        additional.push(Account::Id(given.whole(NO_ID - 1)? as u32));
    }
    Ok(User {
        user: Account::Id(id("user.uid")?),
        group: Some(Account::Id(id("user.gid")?)),
        additional: keep::list(additional),
        exact: true,
    })
}

fn umask(process: &Value<'_>) -> Result<u32, Fault> {
    match process.at("user.umask") {
        Some(given) => given.whole(0o777).map(|mask| mask as u32),
        None => Ok(0o022),
    }
}

fn window_size(process: &Value<'_>) -> WindowSize {
    let cells = |name| process.number_at(name).map_or(0, |cells| cells.min(u16::MAX.into()) as u16);
    WindowSize { rows: cells("consoleSize.height"), columns: cells("consoleSize.width") }
}

/// The five sets. What this kernel or its caller cannot give is left out, as the specification demands.
pub(crate) fn capabilities(process: &Value<'_>) -> Result<Capabilities, Fault> {
    let set = |name: &str| {
        let mut set = CapabilitySet::EMPTY;
        for word in process.elements(&["capabilities.", name].concat()) {
            let number = CapabilitySet::number(word.text()?.as_bytes());
            set = set.with(number.ok_or_else(|| word.fault("this is not a capability"))?);
        }
        Ok(set)
    };
    let (permitted, inheritable, ambient) = (set("permitted")?, set("inheritable")?, set("ambient")?);
    Ok(Capabilities {
        bounding: set("bounding")?,
        effective: set("effective")?,
        permitted,
        inheritable,
        // The kernel has no others there (capabilities(7)); engines' templates name them all the same.
        ambient: CapabilitySet(ambient.0 & permitted.0 & inheritable.0),
        secure_bits: 0,
    })
}

/// The filter of a profile.
pub(crate) fn filter(
    profile: &Value<'_>,
    capabilities: Capabilities,
    context: &Context<'_>,
) -> Result<Option<Filter<'static>>, Fault> {
    let context = seccomp::Context {
        arch: Arch::NATIVE,
        capabilities: capabilities.bounding.0,
        kernel: context.kernel,
        unknown: Unknown::Skip,
    };
    let compiled = compile_value(profile, context)?;
    Ok(Some(Filter {
        program: keep::list(compiled.program),
        origin: "the configuration",
        log: compiled.flags.log,
        allow_speculation: compiled.flags.allow_speculation,
        asks: compiled.listener.is_some(),
    }))
}

fn rlimits(process: &Value<'_>) -> Result<Vec<Rlimit>, Fault> {
    let mut rlimits: Vec<Rlimit> = Vec::new();
    for given in process.elements("rlimits") {
        let word = given.text_at("type").unwrap_or_default();
        let known = |(name, _): &&(&str, RlimitKind)| {
            word.strip_prefix("RLIMIT_").is_some_and(|bare| bare.eq_ignore_ascii_case(name))
        };
        let Some((_, kind)) = RlimitKind::ALL.iter().find(known) else {
            return Err(given.fault([word, " is not a limit"].concat()));
        };
        if rlimits.iter().any(|other| other.kind == *kind) {
            return Err(given.fault([word, " was given before"].concat()));
        }
        let limit = |name| given.number_at(name).filter(|limit| *limit != u64::MAX);
        let (soft, hard) = (limit("soft"), limit("hard"));
        if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
            return Err(given.fault("soft must not be above hard"));
        }
        rlimits.push(Rlimit { kind: *kind, soft, hard });
    }
    Ok(rlimits)
}

fn oom_score_adj(process: &Value<'_>) -> Result<Option<i16>, Fault> {
    let Some(given) = process.at("oomScoreAdj") else { return Ok(None) };
    let score = given.signed()?;
    match i16::try_from(score) {
        Ok(score) if (-1000..=1000).contains(&score) => Ok(Some(score)),
        _ => Err(given.fault("this must be -1000 to 1000")),
    }
}

/// The place of the word at `name` in a table.
fn choice(value: &Value<'_>, name: &str, table: &[(&str, u64)]) -> Result<u64, Fault> {
    let Some(given) = value.at(name) else { return Ok(0) };
    chosen(given, table)
}

fn chosen(given: &Value<'_>, table: &[(&str, u64)]) -> Result<u64, Fault> {
    let word = given.text()?;
    let found = table.iter().find(|(known, _)| *known == word);
    found.map(|(_, number)| *number).ok_or_else(|| given.fault([word, " is not known here"].concat()))
}

fn scheduler(process: &Value<'_>) -> Result<Option<Scheduler>, Fault> {
    const POLICIES: [(&str, u64); 7] = [
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ];
    const FLAGS: [(&str, u64); 7] = [
        ("SCHED_FLAG_RESET_ON_FORK", 1),
        ("SCHED_FLAG_RECLAIM", 2),
        ("SCHED_FLAG_DL_OVERRUN", 4),
        ("SCHED_FLAG_KEEP_POLICY", 8),
        ("SCHED_FLAG_KEEP_PARAMS", 16),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", 32),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", 64),
    ];
    let Some(given) = process.at("scheduler") else { return Ok(None) };
    let mut flags = 0;
    for flag in given.elements("flags") {
        flags |= chosen(flag, &FLAGS)?;
    }
    let small = |name, most: std::ops::RangeInclusive<i64>| match given.at(name) {
        Some(number) if !number.signed().is_ok_and(|n| most.contains(&n)) => {
            Err(number.fault("this is out of range"))
        }
        _ => Ok(given.signed_at(name).unwrap_or_default() as i32),
    };
    Ok(Some(Scheduler {
        policy: choice(given, "policy", &POLICIES)? as u32,
        flags,
        nice: small("nice", -20..=19)?,
        priority: small("priority", 0..=99)? as u32,
        runtime_ns: given.number_at("runtime").unwrap_or_default(),
        deadline_ns: given.number_at("deadline").unwrap_or_default(),
        period_ns: given.number_at("period").unwrap_or_default(),
    }))
}

fn io_priority(process: &Value<'_>) -> Result<Option<u16>, Fault> {
    const CLASSES: [(&str, u64); 3] =
        [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
    let Some(given) = process.at("ioPriority") else { return Ok(None) };
    let level = given.number_at("priority").filter(|level| *level < 8);
    let level = level.ok_or_else(|| given.fault("priority must be 0 to 7"))?;
    // include/uapi/linux/ioprio.h, IOPRIO_PRIO_VALUE
    Ok(Some((choice(given, "class", &CLASSES)? << 13 | level) as u16))
}

/// The execution domain, which stands under `linux` and goes for the process.
fn domain(value: &Value<'_>) -> Result<Option<u32>, Fault> {
    let Some(given) = value.at("linux.personality") else { return Ok(None) };
    if let [flag, ..] = given.elements("flags") {
        return Err(flag.fault("the specification knows no flag of a personality"));
    }
    choice(given, "domain", &[("LINUX", 0), ("LINUX32", 8)]).map(|domain| Some(domain as u32))
}

/// Modes and flags of memory policies (include/uapi/linux/mempolicy.h).
pub(crate) const MEMORY_MODES: [(&str, u64); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];
pub(crate) const MEMORY_FLAGS: [(&str, u64); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// The memory policy, which stands under `linux` too.
fn memory_policy(value: &Value<'_>) -> Result<Option<MemoryPolicy<'static>>, Fault> {
    let Some(given) = value.at("linux.memoryPolicy").filter(|given| !given.members().is_empty()) else {
        return Ok(None);
    };
    if given.at("mode").is_none() {
        return Err(given.fault("mode is missing"));
    }
    let mut mode = choice(given, "mode", &MEMORY_MODES)?;
    for flag in given.elements("flags") {
        mode |= chosen(flag, &MEMORY_FLAGS)?;
    }
    let nodes = given.at("nodes").map_or(Ok(&[][..]), cpus)?;
    Ok(Some(MemoryPolicy { mode: mode as u32, nodes }))
}

/// CPUs as a mask, from a list such as `0-3,7`.
pub(super) fn cpus(given: &Value<'_>) -> Result<&'static [u64], Fault> {
    let wrong = || given.fault("give a list of numbers such as 0-3,7");
    let mut mask = vec![0_u64; 16];
    for part in given.text()?.split(',').filter(|part| !part.trim_ascii().is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim_ascii().parse::<usize>().ok();
        let (first, last) = number(first).zip(number(last)).ok_or_else(wrong)?;
        for cpu in first..=last {
            *mask.get_mut(cpu / 64).ok_or_else(wrong)? |= 1 << (cpu % 64);
        }
    }
    let any = mask.iter().any(|word| *word != 0);
    Ok(if any { keep::list(mask) } else { &[] })
}
