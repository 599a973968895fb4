//! `pipkin doctor`: what containers can have on this machine as this user, and what to do about what they cannot.
//!
//! What can be tried is tried, in a child that ends at once; files of the kernel only explain a failure. Changes
//! nothing, except that asking for a file system may load its kernel module, as running a container does.

mod cgroup;
mod firewall;
mod legacy;
mod namespace;
mod system;
mod trial;

use super::argv::Sorted;
use super::json::Json;
use super::message::Failure;
use super::{ExitCode, Outcome, message, report};

/// Exit code when a container cannot run here at all.
const UNFIT: u8 = 1;

/// How something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It is there.
    Good,
    /// Some of what users expect is not there.
    Limited,
    /// It is not there.
    Missing,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Limited => "limited",
            Self::Missing => "no",
        }
    }
}

/// One thing looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Check {
    name: &'static str,
    state: State,
    /// What was found.
    detail: String,
    /// What to do about it; empty when nothing needs doing.
    remedy: String,
    /// Whether no container runs without it.
    required: bool,
}

impl Check {
    fn new(name: &'static str, state: State, detail: &str, remedy: &str) -> Self {
        Self { name, state, detail: detail.to_owned(), remedy: remedy.to_owned(), required: false }
    }

    fn good(name: &'static str, detail: &str) -> Self {
        Self::new(name, State::Good, detail, "")
    }

    fn limited(name: &'static str, detail: &str, remedy: &str) -> Self {
        Self::new(name, State::Limited, detail, remedy)
    }

    fn missing(name: &'static str, detail: &str, remedy: &str) -> Self {
        Self::new(name, State::Missing, detail, remedy)
    }

    /// The same, of something without which no container runs.
    fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// The verb.
pub(super) fn run(typed: &Sorted<'_>) -> Outcome {
    if let Some(operand) = typed.operands.first() {
        let line = ["it takes no operand, but got ", &operand.to_string_lossy()].concat();
        return Err(Failure::usage("doctor", &line));
    }
    let checks = examine();
    let json = typed.has("--json");
    report::write_list(&if json { as_json(&checks) } else { as_text(&checks) })?;
    let unfit = checks.iter().any(|check| check.required && check.state == State::Missing);
    Ok(if unfit { ExitCode(UNFIT) } else { ExitCode::SUCCESS })
}

fn examine() -> Vec<Check> {
    let root = rustix::process::geteuid().is_root();
    let mut checks = system::identity(root);
    checks.extend(namespace::checks(root));
    checks.extend((!root).then(namespace::ranges));
    checks.extend((!root).then(namespace::pasta));
    checks.extend(system::checks(root));
    checks.extend(cgroup::checks());
    checks
}

fn as_text(checks: &[Check]) -> Vec<u8> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = Vec::new();
    let column = |text: &mut Vec<u8>, word: &str, width: usize| {
        text.extend_from_slice(word.as_bytes());
        text.resize(text.len() + width.saturating_sub(word.len()) + 2, b' ');
    };
    for check in checks {
        column(&mut text, check.state.word(), State::Limited.word().len());
        column(&mut text, check.name, width);
        super::message::escape(check.detail.as_bytes(), &mut text);
        if !check.remedy.is_empty() {
            text.extend_from_slice(b": ");
            super::message::escape(check.remedy.as_bytes(), &mut text);
        }
        text.push(b'\n');
    }
    text
}

fn as_json(checks: &[Check]) -> Vec<u8> {
    let mut json = Json::default();
    json.open(b'[');
    for check in checks {
        json.open(b'{').key(b"name").string(check.name.as_bytes());
        json.key(b"state").string(check.state.word().as_bytes());
        json.key(b"required").boolean(check.required);
        json.key(b"detail").string(check.detail.as_bytes());
        json.key(b"remedy").string(check.remedy.as_bytes()).close(b'}');
    }
    json.close(b']');
    let mut text = json.into_text();
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let checks = [
            Check::good("kernel", "6.1"),
            Check::limited("user namespace", "off", "turn it on"),
            Check::missing("x", "\x1b", ""),
        ];
        let expected = "ok       kernel          6.1\n\
                        limited  user namespace  off: turn it on\n\
                        no       x               \\x1b\n";
        assert_eq!(String::from_utf8(as_text(&checks)).unwrap(), expected);
        let json: serde_json::Value = serde_json::from_slice(&as_json(&checks)).unwrap();
        assert_eq!(json[1]["remedy"], "turn it on");
        assert_eq!(json[2]["state"], "no");
    }

    #[test]
    fn whatever_is_amiss_comes_with_a_remedy() {
        let checks = examine();
        assert!(checks.len() > 15);
        for check in checks {
            assert!(!check.detail.is_empty(), "{check:?}");
            assert_eq!(check.state == State::Good, check.remedy.is_empty(), "{check:?}");
        }
    }
}
