//! Reads a profile into rules on known calls, for one kernel and one set of capabilities.

use super::{Context, Listener, Unknown};
use crate::oci::json::{Fault, Value};
use pipkin::bpf::policy::{Action, Arch, Condition, Operator};
use pipkin::bpf::syscall::Syscall;
use pipkin::spec::CapabilitySet;
use pipkin::sys::seccomp::Flags;
use std::borrow::Cow;

/// A profile as far as it applies here.
pub(super) struct Profile {
    /// For calls that no rule decides.
    pub(super) default: Action,
    /// The native architecture first.
    pub(super) arches: Vec<Arch>,
    pub(super) rules: Vec<ProfileRule>,
    pub(super) flags: Flags,
    pub(super) listener: Option<Listener>,
}

/// One rule on some calls.
pub(super) struct ProfileRule {
    pub(super) calls: Vec<Syscall>,
    pub(super) action: Action,
    /// All must hold.
    conditions: Vec<Condition>,
    /// The same for 32-bit programs, whose arguments have no upper half.
    narrow: Vec<Condition>,
}

impl ProfileRule {
    fn new(calls: Vec<Syscall>, action: Action, conditions: Vec<Condition>) -> Self {
        const LOW: u64 = 0xffff_ffff;
        let narrow = |c: &Condition| Condition { mask: c.mask & LOW, value: c.value & LOW, ..*c };
        let narrow = conditions.iter().map(narrow).collect();
        Self { calls, action, conditions, narrow }
    }

    /// What must hold for a program of `arch`.
    pub(super) fn conditions(&self, arch: Arch) -> &[Condition] {
        match arch {
            Arch::X86_64 | Arch::Aarch64 => &self.conditions,
            Arch::X86 | Arch::Arm => &self.narrow,
        }
    }
}

/// What docker's files call the architecture in `includes` and `excludes`: Go's name.
const fn go_name(arch: Arch) -> &'static str {
    match arch {
        Arch::Aarch64 => "arm64",
        _ => "amd64",
    }
}

/// The OCI names of architectures (config-linux.md, seccomp).
const ARCHES: [(&str, Option<Arch>); 23] = [
    ("X86_64", Some(Arch::X86_64)),
    ("AARCH64", Some(Arch::Aarch64)),
    ("X86", Some(Arch::X86)),
    ("ARM", Some(Arch::Arm)),
    ("X32", None),
    ("MIPS", None),
    ("MIPS64", None),
    ("MIPS64N32", None),
    ("MIPSEL", None),
    ("MIPSEL64", None),
    ("MIPSEL64N32", None),
    ("PPC", None),
    ("PPC64", None),
    ("PPC64LE", None),
    ("S390", None),
    ("S390X", None),
    ("PARISC", None),
    ("PARISC64", None),
    ("RISCV64", None),
    ("LOONGARCH64", None),
    ("M68K", None),
    ("SH", None),
    ("SHEB", None),
];

/// Names that podman's files give beside or instead of numbers.
const ERRNOS: [(&str, u16); 8] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EACCES", 13),
    ("EINVAL", 22),
    ("ENOSYS", 38),
    ("EPROTONOSUPPORT", 93),
    ("EOPNOTSUPP", 95),
    ("EAFNOSUPPORT", 97),
];

/// Highest errno that the kernel returns (`MAX_ERRNO`).
const HIGHEST_ERRNO: u64 = 4095;

/// Reads the profile in `value`.
pub(super) fn read(value: &Value<'_>, context: Context) -> Result<Profile, Fault> {
    let Some(default) = value.get("defaultAction")? else {
        return Err(value.fault("defaultAction is missing"));
    };
    let number = value.get("defaultErrnoRet")?;
    let default_action = action(default, number, value.get("defaultErrno")?)?;
    if default_action == Action::Notify {
        return Err(default.fault("SCMP_ACT_NOTIFY cannot be the default: the listener itself would wait"));
    }
    let mut rules = Vec::new();
    let mut asks = false;
    for block in value.list("syscalls")? {
        if let Some(action) = read_rule(block, default_action, context, &mut rules)? {
            asks |= action == Action::Notify;
        }
    }
    let listener = listener(value)?;
    if asks && listener.is_none() {
        return Err(value.fault("SCMP_ACT_NOTIFY needs a listenerPath"));
    }
    let flags = flags(value)?;
    Ok(Profile {
        default: default_action,
        arches: arches(value, context.arch)?,
        rules,
        flags,
        listener: listener.filter(|_| asks),
    })
}

/// Adds what the block says, if it applies here, and gives its action.
fn read_rule(
    block: &Value<'_>,
    default: Action,
    context: Context,
    rules: &mut Vec<ProfileRule>,
) -> Result<Option<Action>, Fault> {
    let Some(word) = block.get("action")? else { return Err(block.fault("action is missing")) };
    let action = action(word, block.get("errnoRet")?, block.get("errno")?)?;
    let calls = calls(block, action, default, context.unknown)?;
    let alternatives = alternatives(block, action, default)?;
    if !applies(block, context)? {
        return Ok(None);
    }
    rules.extend(
        alternatives.into_iter().map(|conditions| ProfileRule::new(calls.clone(), action, conditions)),
    );
    Ok(Some(action))
}

/// The action `word`, with its errno by number or by name.
fn action(word: &Value<'_>, number: Option<&Value<'_>>, name: Option<&Value<'_>>) -> Result<Action, Fault> {
    let errno = || match (number, name) {
        (Some(number), _) => Ok(number.whole(HIGHEST_ERRNO)? as u16),
        (None, Some(name)) => {
            let text = name.text()?;
            let known = ERRNOS.iter().find(|(known, _)| *known == text);
            known
                .map(|(_, errno)| *errno)
                .ok_or_else(|| name.fault("give the number of this errno as errnoRet"))
        }
        (None, None) => Ok(1),
    };
    let action = match word.text()? {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_ERRNO" => Action::Errno(errno()?),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap(0),
        "SCMP_ACT_TRACE" => Action::Trace(errno()?),
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_NOTIFY" => Action::Notify,
        other => return Err(word.fault([other, " is not an action"].concat())),
    };
    match number {
        Some(number) if !matches!(action, Action::Errno(_) | Action::Trace(_)) => {
            Err(number.fault("this action has no errno"))
        }
        _ => Ok(action),
    }
}

/// How strict an action is: the kernel compares these as signed numbers, the lowest wins.
pub(super) fn strictness(action: Action) -> i32 {
    (action.value() & 0xffff_0000) as i32
}

/// The calls that the block names, in `names` or as old files do in `name`.
fn calls(
    block: &Value<'_>,
    action: Action,
    default: Action,
    unknown: Unknown,
) -> Result<Vec<Syscall>, Fault> {
    let names = match (block.get("names")?, block.get("name")?) {
        (Some(names), None) if names.array()?.is_empty() => return Err(names.fault("name at least one call")),
        (Some(names), None) => names.array()?,
        (None, Some(name)) => std::slice::from_ref(name),
        _ => return Err(block.fault("give the calls in names")),
    };
    let mut calls = Vec::with_capacity(names.len());
    for name in names {
        let text = name.text()?;
        match Syscall::named(text) {
            Some(_) if action == Action::Notify && text == "sendmsg" => {
                return Err(name
                    .fault("sendmsg cannot be SCMP_ACT_NOTIFY: the listener's descriptor is sent with it"));
            }
            Some(call) => calls.push(call),
            None if unknown == Unknown::Skip && strictness(action) >= strictness(default) => {}
            None => return Err(name.fault([text, " is not a known system call"].concat())),
        }
    }
    Ok(calls)
}

/// The block's conditions: one list that must hold whole, or several of which one must.
fn alternatives(block: &Value<'_>, action: Action, default: Action) -> Result<Vec<Vec<Condition>>, Fault> {
    let conditions = block.list("args")?.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    let same = |(place, one): (usize, &Condition)| {
        conditions.iter().skip(place + 1).any(|other| other.argument == one.argument)
    };
    if conditions.iter().enumerate().any(same) && strictness(action) < strictness(default) {
        return Ok(conditions.into_iter().map(|condition| vec![condition]).collect());
    }
    Ok(vec![conditions])
}

fn condition(value: &Value<'_>) -> Result<Condition, Fault> {
    let needed = |name: &str, most| match value.get(name)? {
        Some(number) => number.whole(most),
        None => Err(value.fault([name, " is missing"].concat())),
    };
    let argument = needed("index", 5)? as u8;
    let first = needed("value", u64::MAX)?;
    let second = value.get("valueTwo")?.map_or(Ok(0), |number| number.whole(u64::MAX))?;
    let Some(word) = value.get("op")? else { return Err(value.fault("op is missing")) };
    let operator = match word.text()? {
        "SCMP_CMP_NE" => Operator::NotEqual,
        "SCMP_CMP_LT" => Operator::Less,
        "SCMP_CMP_LE" => Operator::LessOrEqual,
        "SCMP_CMP_EQ" => Operator::Equal,
        "SCMP_CMP_GE" => Operator::GreaterOrEqual,
        "SCMP_CMP_GT" => Operator::Greater,
        "SCMP_CMP_MASKED_EQ" => {
            // libseccomp masks both sides.
            return Ok(Condition { argument, operator: Operator::Equal, mask: first, value: second & first });
        }
        other => return Err(word.fault([other, " is not a comparison"].concat())),
    };
    Ok(Condition { argument, operator, mask: u64::MAX, value: first })
}

/// Whether `includes` holds in every part and `excludes` in none.
fn applies(block: &Value<'_>, context: Context) -> Result<bool, Fault> {
    let mut applies = true;
    for (name, wanted) in [("includes", true), ("excludes", false)] {
        let Some(filter) = block.get(name)? else { continue };
        for word in filter.list("caps")? {
            let number = CapabilitySet::number(word.text()?.as_bytes());
            let number = number.ok_or_else(|| word.fault("this is not a capability"))?;
            applies &= (context.capabilities >> number & 1 == 1) == wanted;
        }
        let arches = filter.list("arches")?.iter().map(Value::text).collect::<Result<Vec<_>, _>>()?;
        applies &= arches.is_empty() || arches.contains(&go_name(context.arch)) == wanted;
        if let Some(word) = filter.get("minKernel")? {
            let least = version(word.text()?).ok_or_else(|| word.fault("give a version as 4.8"))?;
            applies &= (context.kernel >= least) == wanted;
        }
    }
    Ok(applies)
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The native architecture, and the one that 32-bit programs here use if the profile names it.
fn arches(value: &Value<'_>, native: Arch) -> Result<Vec<Arch>, Fault> {
    let mut arches = vec![native];
    let mut add = |word: &Value<'_>| {
        let arch = arch(word)?;
        let companion =
            matches!((native, arch), (Arch::X86_64, Some(Arch::X86)) | (Arch::Aarch64, Some(Arch::Arm)));
        arches.extend(arch.filter(|arch| companion && !arches.contains(arch)));
        Ok::<_, Fault>(arch)
    };
    for word in value.list("architectures")? {
        add(word)?;
    }
    for map in value.list("archMap")? {
        let Some(main) = map.get("architecture")? else { return Err(map.fault("architecture is missing")) };
        let is_native = arch(main)? == Some(native);
        for word in map.list("subArchitectures")? {
            if is_native {
                add(word)?
            } else {
                arch(word)?
            };
        }
    }
    Ok(arches)
}

/// The architecture `word`; `None` for one that does not concern this machine.
fn arch(word: &Value<'_>) -> Result<Option<Arch>, Fault> {
    let name = word.text()?;
    let known = |(known, _): &&(&str, _)| name.strip_prefix("SCMP_ARCH_") == Some(known);
    let found = ARCHES.iter().find(known).map(|(_, arch)| *arch);
    found.ok_or_else(|| word.fault([name, " is not an architecture"].concat()))
}

/// Speculation is left as it is unless flags are given that do not say so, as with runc and crun.
fn flags(value: &Value<'_>) -> Result<Flags, Fault> {
    let given = value.get("flags")?;
    let mut flags = Flags { allow_speculation: given.is_none(), ..Flags::default() };
    for word in given.map_or(Ok(&[][..]), Value::array)? {
        match word.text()? {
            "SECCOMP_FILTER_FLAG_LOG" => flags.log = true,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => flags.allow_speculation = true,
            "SECCOMP_FILTER_FLAG_TSYNC" => flags.all_threads = true,
            // What a listener gets wherever the kernel can.
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => {}
            other => return Err(word.fault([other, " is not a flag"].concat())),
        }
    }
    Ok(flags)
}

fn listener(value: &Value<'_>) -> Result<Option<Listener>, Fault> {
    let text = |name| {
        value.get(name)?.map_or(Ok(Cow::Borrowed("")), |text| text.text().map(|t| t.to_owned().into()))
    };
    let (path, metadata) = (text("listenerPath")?, text("listenerMetadata")?);
    Ok((!path.is_empty()).then(|| Listener { path: path.into_owned(), metadata: metadata.into_owned() }))
}
