//! Makes a policy of a profile's rules, and a program of that.

use super::profile::{Profile, strictness};
use pipkin::bpf::compile::Fault;
use pipkin::bpf::instruction::MAX_INSTRUCTIONS;
use pipkin::bpf::policy::{Action, Arch, Policy, Rule, Section, Span, X32_BIT};

/// `ENOSYS`
const NO_SUCH_CALL: u16 = 38;
/// From here on 32-bit Arm has calls of its own (`__ARM_NR_BASE`), far above all that are still to come.
const PRIVATE: u32 = 0xf_0000;

/// Compiles `profile`; the error is a sentence.
pub(super) fn compile(profile: &Profile) -> Result<Vec<u64>, &'static str> {
    let drafts: Vec<Draft<'_>> = profile.arches.iter().map(|arch| Draft::new(profile, *arch)).collect();
    let lists: Vec<Vec<&[Rule<'_>]>> =
        drafts.iter().map(|draft| draft.verdicts.iter().map(Vec::as_slice).collect()).collect();
    let both = drafts.iter().zip(&lists);
    let sections: Vec<Section<'_>> = both.map(|(draft, verdicts)| draft.section(verdicts)).collect();
    let policy = Policy { sections: &sections, foreign: Action::KillProcess };
    let mut buffer = vec![0; MAX_INSTRUCTIONS];
    match pipkin::bpf::compile::compile(&policy, u64::MAX, &mut buffer) {
        Ok(program) => Ok(program.to_vec()),
        Err(Fault::TooLong) => Err("the program is longer than the 4096 instructions the kernel takes"),
        // The reader and this module make none of these.
        Err(Fault::Spans | Fault::OpenEnd | Fault::Argument(_)) => Err("the rules do not make a policy"),
    }
}

/// What holds whatever the arguments are.
const fn always<'r>(action: Action) -> Rule<'r> {
    Rule { action, needs: 0, conditions: &[] }
}

/// What becomes of the calls of one architecture.
struct Draft<'p> {
    arch: Arch,
    verdicts: Vec<Vec<Rule<'p>>>,
    spans: Vec<Span>,
    /// Which verdict the calls with these rules have.
    known: Vec<(Vec<usize>, u16)>,
}

impl<'p> Draft<'p> {
    fn new(profile: &'p Profile, arch: Arch) -> Self {
        let mut named: Vec<(u32, usize)> = Vec::new();
        for (index, rule) in profile.rules.iter().enumerate() {
            named.extend(rule.calls.iter().filter_map(|call| Some((call.number(arch)?, index))));
        }
        named.sort_unstable();
        let mut draft = Self { arch, verdicts: Vec::new(), spans: Vec::new(), known: Vec::new() };
        let mut next = 0;
        for same in named.chunk_by(|one, other| one.0 == other.0) {
            let Some((number, _)) = same.first().copied() else { continue };
            let indices = same.iter().map(|(_, index)| *index).collect();
            if next < PRIVATE && number >= PRIVATE {
                draft.newer(next, profile);
                next = PRIVATE;
            }
            if number > next {
                draft.begin(next, profile, Vec::new());
            }
            draft.begin(number, profile, indices);
            next = number + 1;
        }
        draft.newer(next, profile);
        if arch == Arch::X86_64 {
            draft.add(X32_BIT, vec![always(Action::KillProcess)]);
            // -1 is no call at all and means the same under every ABI.
            draft.newer(u32::MAX, profile);
        }
        draft
    }

    fn section<'s>(&'s self, verdicts: &'s [&'s [Rule<'p>]]) -> Section<'s> {
        Section { arch: self.arch, spans: &self.spans, verdicts }
    }

    /// What lies above the numbers that the profile names, from `first` on.
    fn newer(&mut self, first: u32, profile: &Profile) {
        // Programs try calls newer than the profile and take ENOSYS, but not EPERM, for an answer to go on with.
        let action = match profile.default {
            Action::Errno(_) if first > 0 => Action::Errno(NO_SUCH_CALL),
            other => other,
        };
        self.add(first, vec![always(action)]);
    }

    /// From `first` on, the rules of these indices hold, and the default where none applies.
    fn begin(&mut self, first: u32, profile: &'p Profile, indices: Vec<usize>) {
        if let Some((_, verdict)) = self.known.iter().find(|(known, _)| *known == indices) {
            self.spans.push(Span { first, verdict: *verdict });
            return;
        }
        let mut rules: Vec<Rule<'p>> = indices
            .iter()
            .filter_map(|index| profile.rules.get(*index))
            .map(|rule| Rule { action: rule.action, needs: 0, conditions: rule.conditions(self.arch) })
            .collect();
        let last = rules.iter().find(|rule| rule.conditions.is_empty()).copied();
        rules.retain(|rule| {
            !rule.conditions.is_empty()
                && last.is_none_or(|last| strictness(rule.action) < strictness(last.action))
        });
        rules.sort_by_key(|rule| strictness(rule.action));
        rules.push(last.unwrap_or(always(profile.default)));
        let verdict = self.add(first, rules);
        self.known.push((indices, verdict));
    }

    /// A verdict of its own from `first` on.
    fn add(&mut self, first: u32, rules: Vec<Rule<'p>>) -> u16 {
        // There are fewer verdicts than system calls.
        let verdict = u16::try_from(self.verdicts.len()).unwrap_or(u16::MAX);
        self.verdicts.push(rules);
        self.spans.push(Span { first, verdict });
        verdict
    }
}
