//! config.json to Plan: a sentence about what is wrong, or a plan whose every step can be printed.

use crate::oci::config::{Context, read, sentence, spec};
use pipkin::plan::{HostFacts, Plan, resolve};
use pipkin::spec::{CapabilitySet, Id};
use std::convert::Infallible;

/// Takes what a plan prints.
struct Sink(usize);

impl ufmt::uWrite for Sink {
    type Error = Infallible;

    fn write_str(&mut self, text: &str) -> Result<(), Infallible> {
        self.0 += text.len();
        Ok(())
    }
}

/// The configuration's text.
pub(super) fn run(data: &[u8]) {
    let value = match read(data) {
        Ok(value) => value,
        Err(line) => return one_line(&line),
    };
    let context = Context {
        id: Id::new(b"c").expect("an id"),
        bundle: b"/",
        kernel: (6, 18),
        preserved: 0,
        keeps_keyring: false,
        held: CapabilitySet::ALL,
        further: false,
    };
    let spec = match spec(&value, &context) {
        Ok(spec) => spec,
        Err(fault) => {
            assert!(fault.at <= data.len());
            return one_line(&sentence(&fault, &value, data));
        }
    };
    let mut plan = Plan::default();
    if resolve(&spec, &HostFacts::IDEAL, &mut plan).is_err() {
        return;
    }
    let mut sink = Sink(0);
    for step in &plan.host {
        step.describe().write(&mut sink).expect("infallible");
    }
    for step in &plan.child {
        step.describe().write(&mut sink).expect("infallible");
    }
    assert!(sink.0 > 0);
}

fn one_line(line: &str) {
    assert!(!line.is_empty() && line.len() < 1 << 20);
}
