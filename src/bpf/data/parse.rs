//! Reads `syscall.table` and `default.policy`. Part of build.rs; the head of each file describes its form.

use crate::bpf::policy::{Action, Arch, Condition, Operator};
use std::collections::HashMap;

/// What is wrong, and in which line.
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) what: String,
}

/// A line of the table.
pub(crate) struct Syscall {
    pub(crate) name: String,
    numbers: [Option<u32>; 4],
    /// First release; `(0, 0)` for never.
    pub(crate) since: (u32, u32),
}

impl Syscall {
    pub(crate) fn number(&self, arch: Arch) -> Option<u32> {
        Arch::ALL.iter().zip(self.numbers).find_map(|(own, number)| number.filter(|_| *own == arch))
    }
}

/// One rule on one call.
pub(crate) struct CallRule {
    pub(crate) line: usize,
    pub(crate) call: String,
    pub(crate) action: Action,
    pub(crate) needs: u64,
    pub(crate) conditions: Vec<Condition>,
}

/// The whole policy file.
pub(crate) struct PolicyText {
    pub(crate) rules: Vec<CallRule>,
    pub(crate) otherwise: Action,
    pub(crate) foreign: Action,
    pub(crate) compiled_for: u64,
    pub(crate) last_line: usize,
}

/// Capability names by number (include/uapi/linux/capability.h).
pub(crate) const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Verdicts by name; errno values are the same on both architectures.
pub(crate) const VERDICTS: [(&str, Action); 8] = [
    ("allow", Action::Allow),
    ("kill", Action::KillProcess),
    ("EPERM", Action::Errno(1)),
    ("EINVAL", Action::Errno(22)),
    ("ENOSYS", Action::Errno(38)),
    ("EPROTONOSUPPORT", Action::Errno(93)),
    ("EOPNOTSUPP", Action::Errno(95)),
    ("EAFNOSUPPORT", Action::Errno(97)),
];

/// Reads the table of system calls.
pub(crate) fn table(text: &str) -> Result<Vec<Syscall>, Fault> {
    let mut calls: Vec<Syscall> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let fault = |what: String| Fault { line: index + 1, what };
        let [name, x86_64, aarch64, x86, arm, since] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(fault("a line has six fields".to_owned()));
        };
        let mut numbers = [None; 4];
        for (place, field) in numbers.iter_mut().zip([x86_64, aarch64, x86, arm]) {
            *place = number(field).map_err(fault)?;
        }
        let call = Syscall { name: name.to_owned(), numbers, since: release(since).map_err(fault)? };
        let clash = |old: &Syscall| {
            let same = |arch| old.number(arch).is_some() && old.number(arch) == call.number(arch);
            // Arm has two names for one call.
            old.name == call.name || [Arch::X86_64, Arch::Aarch64, Arch::X86].into_iter().any(same)
        };
        if let Some(old) = calls.iter().find(|old| clash(old)) {
            return Err(fault(format!("{name} has the name or a number of {}", old.name)));
        }
        calls.push(call);
    }
    Ok(calls)
}

fn number(field: &str) -> Result<Option<u32>, String> {
    if field == "-" {
        return Ok(None);
    }
    field.parse().map(Some).map_err(|_| format!("{field} is not a number"))
}

fn release(field: &str) -> Result<(u32, u32), String> {
    if field == "never" {
        return Ok((0, 0));
    }
    let mut parts = field.split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(format!("{field} is not a release")),
    }
}

/// Reads the policy.
pub(crate) fn policy(text: &str) -> Result<PolicyText, Fault> {
    let mut reader = Reader::default();
    let mut statement: (usize, Vec<&str>) = (0, Vec::new());
    for (index, line) in text.lines().enumerate() {
        if !line.starts_with(' ') {
            let (line, words) = std::mem::take(&mut statement);
            reader.statement(line, &words).map_err(|what| Fault { line, what })?;
            statement.0 = index + 1;
        }
        if !line.starts_with('#') {
            statement.1.extend(line.split_whitespace());
        }
    }
    let (line, words) = statement;
    reader.statement(line, &words).map_err(|what| Fault { line, what })?;
    let fault = |what: &str| Fault { line, what: what.to_owned() };
    Ok(PolicyText {
        rules: reader.rules,
        otherwise: reader.otherwise.ok_or_else(|| fault("`otherwise` is missing"))?,
        foreign: reader.foreign.ok_or_else(|| fault("`foreign` is missing"))?,
        compiled_for: reader.compiled_for.ok_or_else(|| fault("`compiled for` is missing"))?,
        last_line: line,
    })
}

#[derive(Default)]
struct Reader {
    constants: HashMap<String, u64>,
    rules: Vec<CallRule>,
    otherwise: Option<Action>,
    foreign: Option<Action>,
    compiled_for: Option<u64>,
}

impl Reader {
    fn statement(&mut self, line: usize, words: &[&str]) -> Result<(), String> {
        match words {
            [] => Ok(()),
            ["let", name, "=", value] => {
                let value = self.value(value)?;
                match self.constants.insert((*name).to_owned(), value) {
                    None => Ok(()),
                    Some(_) => Err(format!("{name} is defined twice")),
                }
            }
            ["otherwise", action] => set(&mut self.otherwise, verdict(action)?),
            ["foreign", action] => set(&mut self.foreign, verdict(action)?),
            ["compiled", "for", names @ ..] => {
                let mut all = 0;
                for name in names {
                    all |= capability(name)?;
                }
                set(&mut self.compiled_for, all)
            }
            [action, rest @ ..] => self.rule(line, verdict(action)?, rest),
        }
    }

    /// `CALL… [with CAPABILITY | unless CAPABILITY or…] [when CONDITION and…] because REASON`
    fn rule(&mut self, line: usize, action: Action, words: &[&str]) -> Result<(), String> {
        let because =
            words.iter().position(|word| *word == "because").ok_or("a statement needs its reason")?;
        let (words, reason) = words.split_at(because);
        if reason.len() < 3 {
            return Err("a reason has more than one word".to_owned());
        }
        let begins_clause = |word: &&str| matches!(*word, "with" | "unless" | "when");
        let calls =
            words.split(begins_clause).next().filter(|calls| !calls.is_empty()).ok_or("no call is named")?;
        let (mut needs, mut exceptions, mut alternatives) = (0, Vec::new(), vec![Vec::new()]);
        match &words[calls.len()..] {
            [] => {}
            ["unless", names @ ..] => {
                for name in names.split(|word| *word == "or") {
                    let [name] = name else {
                        return Err("`unless` takes names with `or` between".to_owned());
                    };
                    exceptions.push(capability(name)?);
                }
            }
            ["with", name] => needs = capability(name)?,
            ["with", name, "when", conditions @ ..] => {
                needs = capability(name)?;
                alternatives = self.alternatives(conditions)?;
            }
            ["when", conditions @ ..] => alternatives = self.alternatives(conditions)?,
            _ => return Err("clauses stand in the order `with`, `when`, or `unless` alone".to_owned()),
        }
        for call in calls {
            let mut add = |action, needs, conditions| {
                self.rules.push(CallRule { line, call: (*call).to_owned(), action, needs, conditions });
            };
            exceptions.iter().for_each(|needs| add(Action::Allow, *needs, Vec::new()));
            alternatives.iter().for_each(|conditions| add(action, needs, conditions.clone()));
        }
        Ok(())
    }

    /// The ANDed conditions, once for each item that an `in` lists.
    fn alternatives(&self, words: &[&str]) -> Result<Vec<Vec<Condition>>, String> {
        let mut alternatives = vec![Vec::new()];
        for condition in words.split(|word| *word == "and") {
            let choices = self.condition(condition)?;
            let with = |former: &Vec<Condition>| {
                choices.iter().map(|choice| [former.as_slice(), choice].concat()).collect::<Vec<_>>()
            };
            alternatives = alternatives.iter().flat_map(with).collect();
        }
        Ok(alternatives)
    }

    fn condition(&self, words: &[&str]) -> Result<Vec<Vec<Condition>>, String> {
        let [operand, rest @ ..] = words else { return Err("a condition is missing".to_owned()) };
        let (argument, mask) = match operand.split_at_checked(3) {
            Some(("arg", index)) => (index, u64::MAX),
            Some(("int", index)) => (index, u64::from(u32::MAX)),
            _ => return Err(format!("{operand} is neither argN nor intN")),
        };
        let argument = argument.parse().ok().filter(|index| *index < 6).ok_or("arguments are 0 to 5")?;
        let new = |operator, mask, value| Condition { argument, operator, mask, value };
        match rest {
            ["in", items @ ..] if !items.is_empty() => {
                items.iter().map(|item| self.item(item, mask, new)).collect()
            }
            ["within", bits] => Ok(vec![vec![new(Operator::Equal, mask & !self.value(bits)?, 0)]]),
            ["&", bits, "=", value] => {
                let (bits, value) = (mask & self.value(bits)?, self.value(value)?);
                if value & !bits != 0 {
                    return Err("the value has bits outside the mask, so it is never equal".to_owned());
                }
                Ok(vec![vec![new(Operator::Equal, bits, value)]])
            }
            ["=", value] => Ok(vec![vec![new(Operator::Equal, mask, self.value(value)?)]]),
            _ => Err(format!("{} is not a condition", words.join(" "))),
        }
    }

    /// `VALUE` or `FIRST..LAST`.
    fn item(
        &self,
        item: &str,
        mask: u64,
        new: impl Fn(Operator, u64, u64) -> Condition,
    ) -> Result<Vec<Condition>, String> {
        let Some((first, last)) = item.split_once("..") else {
            return Ok(vec![new(Operator::Equal, mask, self.value(item)?)]);
        };
        let (first, last) = (self.value(first)?, self.value(last)?);
        Ok(vec![new(Operator::GreaterOrEqual, mask, first), new(Operator::LessOrEqual, mask, last)])
    }

    fn value(&self, word: &str) -> Result<u64, String> {
        let number = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        };
        number
            .or_else(|| self.constants.get(word).copied())
            .ok_or_else(|| format!("{word} is not a known value"))
    }
}

fn set<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("said twice".to_owned()),
    }
}

fn verdict(word: &str) -> Result<Action, String> {
    let known = VERDICTS.iter().find(|(name, _)| *name == word);
    known.map(|(_, action)| *action).ok_or_else(|| format!("{word} is not a verdict"))
}

fn capability(word: &str) -> Result<u64, String> {
    let number = CAPABILITIES.iter().position(|name| *name == word);
    number.map(|number| 1 << number).ok_or_else(|| format!("{word} is not a capability"))
}
