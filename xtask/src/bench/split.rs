//! Where the time goes: the calls of a traced run, put together into steps.
//!
//! A step begins with the call that gives it away (`mount` or `fsopen` of procfs, say) and lasts until the next
//! step's. Only what the user waits for is in it: the first process up to the clone, the container's process up to
//! its end, and the first process again; what happens beside that is not.
//!
//! Tracing makes each call slower by about the same time. At least half of all calls do next to nothing (`prctl`,
//! `close`) and show how much; that time is taken off every call. What is left is for comparing: it adds up to
//! somewhat more than the untraced time, because a call with texts in it costs strace more than one without.

use super::run::Measured;
use super::sample::percentile;
use super::trace::{Call, Trace};
use anyhow::Result;
use std::fmt::Write as _;

const BEFORE: &str = "before the child";
const BIRTH: &str = "clone until the child runs";
const ENTER: &str = "the child before its root";
const MASKS: &str = "masks and read-only paths";
const PAYLOAD: &str = "exec, run and end of the command";
const AFTER: &str = "after the end";

/// All steps in the order of a run.
const STEPS: &[&str] = &[
    BEFORE,
    BIRTH,
    ENTER,
    "overlay",
    "exchange of the root",
    "proc",
    "/dev and its nodes",
    "devpts",
    "/dev/shm",
    "mqueue",
    "sysfs",
    "cgroup2",
    MASKS,
    "loopback interface",
    "session, signals, keyring",
    "user and capabilities",
    "filter",
    PAYLOAD,
    AFTER,
];

/// At least this part of all calls, in percent, does next to nothing.
const CHEAP: usize = 50;

/// Calls and time of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    calls: u64,
    us: u64,
}

impl std::iter::Sum for Part {
    fn sum<I: Iterator<Item = Part>>(parts: I) -> Part {
        parts.fold(Part::default(), |sum, part| Part { calls: sum.calls + part.calls, us: sum.us + part.us })
    }
}

/// The split of both as a table.
///
/// # Errors
/// None but those of writing to a text.
pub(super) fn table(pipkin: &Measured, floor: &Measured) -> Result<String> {
    let (own, least) = (medians(&pipkin.traces), medians(&floor.traces));
    let mut text = String::from("\n## Where the time goes\n\n");
    writeln!(
        text,
        "Medians of {} traced runs; the time that tracing adds is taken off.\n",
        pipkin.traces.len()
    )?;
    writeln!(text, "| step | pipkin µs | calls | floor µs | calls |\n|---|---:|---:|---:|---:|")?;
    let sums = (own.iter().copied().sum(), least.iter().copied().sum());
    let rows = STEPS.iter().copied().zip(own.into_iter().zip(least)).chain([("all", sums)]);
    for (step, (own, least)) in rows {
        writeln!(text, "| {step} | {} | {} | {} | {} |", own.us, own.calls, least.us, least.calls)?;
    }
    Ok(text)
}

/// Step by step, the medians over all traces.
fn medians(traces: &[Trace]) -> Vec<Part> {
    let runs: Vec<Vec<Part>> = traces.iter().map(|trace| split(&trace.calls)).collect();
    let middle = |place: usize, value: fn(&Part) -> u64| {
        let values: Vec<u64> = runs.iter().filter_map(|run| run.get(place)).map(value).collect();
        percentile(&values, 50)
    };
    (0..STEPS.len())
        .map(|place| Part { calls: middle(place, |part| part.calls), us: middle(place, |part| part.us) })
        .collect()
}

/// One run's parts, in the order of [`STEPS`].
fn split(calls: &[Call]) -> Vec<Part> {
    let mut parts = vec![Part::default(); STEPS.len()];
    let Some(path) = waited_for(calls) else { return parts };
    let lasted: Vec<u64> = path.windows(2).map(|pair| pair[1].at_us.saturating_sub(pair[0].at_us)).collect();
    let tracing = percentile(&lasted, CHEAP);
    let mut step = BEFORE;
    let mut seen = Seen::default();
    for (call, us) in path.iter().zip(lasted.iter().chain(&[0])) {
        step = seen.step(step, call);
        let us = us.saturating_sub(tracing);
        if let Some(part) = STEPS.iter().position(|name| *name == step).and_then(|place| parts.get_mut(place))
        {
            part.us += us;
            part.calls += u64::from(!call.resumed);
        }
    }
    parts
}

/// The calls that the user waits for, in order: the first process, the one it makes that executes the command, and
/// the first again. `None` when there is no such pair.
fn waited_for(calls: &[Call]) -> Option<Vec<&Call>> {
    let first = calls.first()?.pid;
    let child = calls.iter().find(|call| call.pid != first && call.name == "execve")?.pid;
    let born = calls.iter().find(|call| call.pid == child)?.at_us;
    let ended = calls.iter().rfind(|call| call.pid == child)?.at_us;
    let clone = calls
        .iter()
        .rfind(|call| call.pid == first && call.at_us <= born && call.name.starts_with("clone"))?;
    let before = calls.iter().filter(|call| call.pid == first && call.at_us <= clone.at_us);
    let inside = calls.iter().filter(|call| call.pid == child);
    let after = calls.iter().filter(|call| call.pid == first && call.at_us >= ended);
    Some(before.chain(inside).chain(after).collect())
}

/// What was met on the way, where a call alone does not say which step it begins.
#[derive(Default)]
struct Seen {
    born: bool,
    pivoted: bool,
    tmpfs: usize,
    executed: bool,
    child: u32,
}

impl Seen {
    /// The step of this call, given the step of the one before it.
    fn step(&mut self, step: &'static str, call: &Call) -> &'static str {
        if !self.born {
            self.born = call.name.starts_with("clone");
            return if self.born { BIRTH } else { BEFORE };
        }
        if self.child == 0 {
            self.child = call.pid;
            return ENTER;
        }
        if call.pid != self.child {
            return AFTER;
        }
        self.executed |= call.name == "execve";
        if self.executed { PAYLOAD } else { self.begins(call).unwrap_or(step) }
    }

    /// The step that this call of the child begins, if it begins one.
    fn begins(&mut self, call: &Call) -> Option<&'static str> {
        let has = |word: &str| call.rest.contains(word);
        match call.name.as_str() {
            "mount" | "fsopen" => self.mounted(call),
            "pivot_root" => {
                self.pivoted = true;
                Some("exchange of the root")
            }
            "open_tree" if self.pivoted => Some(MASKS),
            "openat2" | "access" if self.pivoted && (has("proc/") || has("sys/firmware")) => Some(MASKS),
            "socket" => Some("loopback interface"),
            "rt_sigaction" | "keyctl" | "setsid" => Some("session, signals, keyring"),
            "prctl" if has("PR_CAPBSET_DROP") => Some("user and capabilities"),
            "seccomp" => Some("filter"),
            _ => None,
        }
    }

    fn mounted(&mut self, call: &Call) -> Option<&'static str> {
        let kind = |name: &str| call.rest.contains(&format!("\"{name}\""));
        let own = ["overlay", "proc", "devpts", "mqueue", "sysfs", "cgroup2"];
        if kind("tmpfs") {
            self.tmpfs += 1;
            // Pipkin and the floor mount them in this order; the third is the empty directory of the masks.
            return ["/dev and its nodes", "/dev/shm", MASKS].get(self.tmpfs - 1).copied();
        }
        own.into_iter().find(|name| kind(name))
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, STEPS, split};
    use crate::bench::trace::Call;

    fn call(pid: u32, at_us: u64, name: &str, rest: &str) -> Call {
        Call { pid, at_us, name: name.to_owned(), rest: rest.to_owned(), resumed: false }
    }

    /// With a tracing time of 10 µs, that of the cheapest calls.
    #[test]
    fn calls_fall_into_the_steps_that_they_begin() {
        let mut calls = vec![
            call(7, 0, "execve", ""),
            call(7, 100, "clone3", ""),
            call(8, 1100, "prctl", "PR_SET_PDEATHSIG"),
            call(7, 1105, "poll", ""),
            call(8, 1110, "mount", "\"overlay\", \"/x\""),
            call(8, 1310, "pivot_root", ""),
            call(8, 1410, "fsopen", "\"proc\", 1"),
            call(8, 1420, "fsconfig", ""),
            call(8, 1450, "execve", ""),
            call(7, 2450, "poll", ""),
            call(7, 2460, "exit_group", ""),
        ];
        let payload = (0..12).map(|number| call(8, 1880 + 10 * number, "getuid", ""));
        calls.splice(9..9, payload.chain([call(8, 2000, "exit_group", "")]));
        let part =
            |calls: &[Call], step: &str| split(calls)[STEPS.iter().position(|name| *name == step).unwrap()];
        assert_eq!(part(&calls, "before the child"), Part { calls: 1, us: 90 });
        assert_eq!(part(&calls, "clone until the child runs"), Part { calls: 1, us: 990 });
        assert_eq!(part(&calls, "overlay"), Part { calls: 1, us: 190 });
        assert_eq!(part(&calls, "proc"), Part { calls: 2, us: 20 });
        assert_eq!(part(&calls, "exec, run and end of the command"), Part { calls: 14, us: 860 });
        assert_eq!(part(&calls, "after the end"), Part { calls: 2, us: 0 });
        calls.truncate(2);
        assert_eq!(part(&calls, "before the child"), Part::default());
    }
}
