//! Turns reviewed data into static tables at build time.
//!
//! `src/bpf/data/syscall.table` becomes the table of system calls and `src/bpf/data/default.policy` the default
//! seccomp policy, as data and as a finished program for each architecture. The compiler is the library's own, so a
//! policy compiled while Pipkin runs and one compiled here are the same. What is wrong in the data stops the build
//! with its line.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs, process};

/// The library's own assembler; this program uses a part of it.
#[allow(dead_code, unreachable_pub)]
#[path = "src/bpf"]
mod bpf {
    mod argument;
    pub mod compile;
    pub mod instruction;
    pub mod policy;
    mod program;
}
#[path = "src/bpf/data/parse.rs"]
mod parse;

use bpf::compile::compile;
use bpf::instruction::MAX_INSTRUCTIONS;
use bpf::policy::{Action, Arch, Condition, Policy, Rule, Section, Span, X32_BIT};
use parse::{Fault, PolicyText, Syscall};

const TABLE: &str = "src/bpf/data/syscall.table";
const POLICY: &str = "src/bpf/data/default.policy";
/// Calls of later releases are not yet among linux-raw-sys's constants, so their numbers are not checked against it.
const LINUX_RAW_SYS_RELEASE: (u32, u32) = (6, 17);
/// How far Arm's private calls, from 0xf0001 on, are moved down to be stored in 16 bits.
const ARM_PRIVATE_SHIFT: u32 = 0xe_1000;

fn main() {
    for input in ["build.rs", "src/bpf"] {
        println!("cargo::rerun-if-changed={input}");
    }
    if let Err(message) = generate() {
        eprintln!("{message}");
        process::exit(1);
    }
}

fn generate() -> Result<(), String> {
    let out = env::var("OUT_DIR").map_err(|_| "OUT_DIR is not set: run by cargo".to_owned())?;
    let in_file = |path: &'static str| move |Fault { line, what }: Fault| format!("{path}:{line}: {what}");
    let calls = parse::table(&read(TABLE)?).map_err(in_file(TABLE))?;
    let policy = parse::policy(&read(POLICY)?).map_err(in_file(POLICY))?;
    let mut text = String::new();
    for (name, arch) in [("X86_64", Arch::X86_64), ("AARCH64", Arch::Aarch64)] {
        let spans = Spans::new(&calls, &policy, arch).map_err(in_file(POLICY))?;
        text += &spans.emit(name, &policy)?;
    }
    text += &format!("const FOREIGN: Action = Action::{:?};\n", policy.foreign);
    let gates = policy.rules.iter().fold(0_u64, |all, rule| all | rule.needs);
    text += &format!(
        "/// The capabilities that [`Default::program`] is for.\npub const CAPABILITIES: u64 = {:#x};\n",
        policy.compiled_for
    );
    text += &format!("/// The capabilities that some call asks for.\npub const GATES: u64 = {gates:#x};\n");
    write(&Path::new(&out).join("default_policy.rs"), &text)?;
    write(&Path::new(&out).join("syscall_table.rs"), &table_text(&calls))
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

type Verdict = Vec<OwnedRule>;

#[derive(Clone, PartialEq)]
struct OwnedRule {
    action: Action,
    needs: u64,
    conditions: Vec<Condition>,
}

/// The default policy of one architecture: verdicts without repeats, and where each begins to hold.
struct Spans {
    arch: Arch,
    verdicts: Vec<Verdict>,
    spans: Vec<Span>,
}

impl Spans {
    fn new(calls: &[Syscall], policy: &PolicyText, arch: Arch) -> Result<Self, Fault> {
        let mut by_number = BTreeMap::new();
        for call in calls {
            if let Some(number) = call.number(arch) {
                by_number.insert(number, verdict(policy, call)?);
            }
        }
        let has_default =
            |call: &Syscall| [Arch::X86_64, Arch::Aarch64].iter().any(|arch| call.number(*arch).is_some());
        let known = |name: &str| calls.iter().any(|call| call.name == name && has_default(call));
        if let Some(stray) = policy.rules.iter().find(|rule| !known(&rule.call)) {
            return Err(Fault {
                line: stray.line,
                what: format!("{} is in {TABLE} for no 64-bit architecture", stray.call),
            });
        }
        let fixed = |action| vec![OwnedRule { action, needs: 0, conditions: Vec::new() }];
        let mut this = Self { arch, verdicts: Vec::new(), spans: Vec::new() };
        let mut next = 0;
        for (number, verdict) in by_number {
            if number > next {
                this.begin(next, fixed(policy.otherwise));
            }
            this.begin(number, verdict);
            next = number + 1;
        }
        this.begin(next, fixed(policy.otherwise));
        if arch == Arch::X86_64 {
            this.begin(X32_BIT, fixed(policy.foreign));
            // -1 is no call at all and means the same under every ABI.
            this.begin(u32::MAX, fixed(policy.otherwise));
        }
        Ok(this)
    }

    /// From number `first` on `verdict` holds.
    fn begin(&mut self, first: u32, verdict: Verdict) {
        let known = self.verdicts.iter().position(|other| *other == verdict).unwrap_or_else(|| {
            self.verdicts.push(verdict);
            self.verdicts.len() - 1
        });
        let verdict = u16::try_from(known).unwrap_or(u16::MAX);
        if self.spans.last().is_none_or(|last| last.verdict != verdict) {
            self.spans.push(Span { first, verdict });
        }
    }

    /// The constants `NAME_SECTION` and `NAME_PROGRAM`.
    fn emit(&self, name: &str, policy: &PolicyText) -> Result<String, String> {
        let verdicts: Vec<Vec<Rule<'_>>> =
            self.verdicts.iter().map(|v| v.iter().map(borrow).collect()).collect();
        let verdicts: Vec<&[Rule<'_>]> = verdicts.iter().map(Vec::as_slice).collect();
        let section = Section { arch: self.arch, spans: &self.spans, verdicts: &verdicts };
        let mut buffer = [0; MAX_INSTRUCTIONS];
        let whole = Policy { sections: &[section], foreign: policy.foreign };
        let program = compile(&whole, policy.compiled_for, &mut buffer)
            .map_err(|fault| format!("{POLICY}: {name}: {fault:?}"))?;
        let mut text = String::new();
        let mut line = |line: String| text.extend([&line, "\n"]);
        line(format!(
            "const {name}_SECTION: Section<'static> = Section {{ arch: Arch::{:?}, spans: &[",
            self.arch
        ));
        self.spans.iter().for_each(|span| line(format!("{span:?},")));
        line("], verdicts: &[".to_owned());
        verdicts.iter().for_each(|rules| line(rules_text(rules)));
        line("] };".to_owned());
        line(format!("const {name}_PROGRAM: [u64; {}] = {program:#018x?};", program.len()));
        Ok(text)
    }
}

/// The rules of `call`, in the order of the file. They must decide it for good, and none may stand behind the end.
fn verdict(policy: &PolicyText, call: &Syscall) -> Result<Verdict, Fault> {
    let mut rules = Vec::new();
    let mut decided = false;
    for rule in policy.rules.iter().filter(|rule| rule.call == call.name) {
        if decided {
            let what = format!("{} was decided for good by an earlier statement", call.name);
            return Err(Fault { line: rule.line, what });
        }
        decided = rule.needs == 0 && rule.conditions.is_empty();
        rules.push(OwnedRule { action: rule.action, needs: rule.needs, conditions: rule.conditions.clone() });
    }
    if decided {
        return Ok(rules);
    }
    Err(Fault { line: policy.last_line, what: format!("no statement decides {} for good", call.name) })
}

fn borrow(rule: &OwnedRule) -> Rule<'_> {
    Rule { action: rule.action, needs: rule.needs, conditions: &rule.conditions }
}

fn rules_text(rules: &[Rule<'_>]) -> String {
    let mut text = "&[".to_owned();
    for rule in rules {
        text +=
            &format!("Rule {{ action: Action::{:?}, needs: {:#x}, conditions: &[", rule.action, rule.needs);
        for Condition { argument, operator, mask, value } in rule.conditions {
            text += &format!(
                "Condition {{ argument: {argument}, operator: Operator::{operator:?}, mask: {mask:#x}, value: {value:#x} }},"
            );
        }
        text += "] },";
    }
    text + "],"
}

/// The table as Rust: names in one string by alphabet, where each ends, and its numbers. No pointers, so that nothing
/// has to be relocated when the program starts.
fn table_text(calls: &[Syscall]) -> String {
    let mut sorted: Vec<&Syscall> = calls.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut names, mut ends, mut numbers) = (String::new(), String::new(), String::new());
    for call in &sorted {
        names += &call.name;
        ends += &format!("{}, ", names.len());
        let stored = Arch::ALL.map(|arch| call.number(arch).map_or(u16::MAX, stored));
        numbers += &format!("{stored:?},\n");
    }
    let count = sorted.len();
    format!(
        "static NAMES: &str = {names:?};\nstatic ENDS: [u16; {count}] = [{ends}];\n\
         static NUMBERS: [[u16; 4]; {count}] = [\n{numbers}];\n{}",
        assertions(calls)
    )
}

/// A number in 16 bits: Arm's private calls are moved down to fit.
fn stored(number: u32) -> u16 {
    let moved = if number >= 0xf_0000 { number - ARM_PRIVATE_SHIFT } else { number };
    u16::try_from(moved).unwrap_or(u16::MAX)
}

/// A check of each number by the constants of linux-raw-sys, for the target compiled for.
fn assertions(calls: &[Syscall]) -> String {
    let mut text = String::new();
    for (target, arch) in [("x86_64", Arch::X86_64), ("aarch64", Arch::Aarch64)] {
        text += &format!("#[cfg(target_arch = {target:?})]\nconst _: () = {{\n");
        for call in calls.iter().filter(|call| call.since <= LINUX_RAW_SYS_RELEASE) {
            if let Some(number) = call.number(arch) {
                text += &format!("    assert!(linux_raw_sys::general::__NR_{} == {number});\n", call.name);
            }
        }
        text += "};\n";
    }
    text + &format!("const ARM_PRIVATE_SHIFT: u32 = {ARM_PRIVATE_SHIFT:#x};\n")
}
