//! Seccomp profiles: a fault in the text, or a program that the kernel takes.

use crate::oci::seccomp::{Context, Unknown, compile};
use pipkin::bpf::policy::{Arch, Call};
use pipkin::bpf::simulator::{run as simulate, verify};

/// The first byte is what the profile is read for; the rest is its text.
pub(super) fn run(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let context = Context {
        arch: if first & 8 == 0 { Arch::X86_64 } else { Arch::Aarch64 },
        capabilities: if first & 1 == 0 { 0 } else { u64::MAX },
        kernel: if first & 2 == 0 { (3, 0) } else { (6, 18) },
        unknown: if first & 4 == 0 { Unknown::Refuse } else { Unknown::Skip },
    };
    match compile(text, context) {
        Ok(compiled) => {
            assert_eq!(verify(&compiled.program), Ok(()));
            for number in [0, 1, 59, 0x4000_0000, u32::MAX] {
                let call = Call { number, arch: context.arch.audit(), arguments: [u64::MAX; 6] };
                assert!(simulate(&compiled.program, &call).is_ok());
            }
        }
        Err(fault) => assert!(fault.at <= text.len() && !fault.in_document(text).is_empty()),
    }
}
