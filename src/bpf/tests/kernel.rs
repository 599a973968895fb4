//! The default filter in the running kernel.

use super::super::default::{CAPABILITIES, NATIVE};
use super::super::policy::{Action, Arch, Call};
use super::super::syscall::Syscall;
use super::std::vec::Vec;
use super::{argument_sets, numbers};
use crate::sys::seccomp::trial;

fn number(name: &str) -> u32 {
    Syscall::named(name).and_then(|call| call.number(Arch::NATIVE)).expect(name)
}

/// Every call that the policy refuses, with all arguments around the values it names: none of them is carried out.
#[test]
fn the_kernel_refuses_what_the_policy_refuses() {
    let mut calls = Vec::new();
    let mut expected = Vec::new();
    for number in numbers() {
        for arguments in argument_sets(NATIVE.policy.sections[0].rules(number)) {
            let call = Call { number, arch: Arch::NATIVE.audit(), arguments };
            if let Action::Errno(errno) = NATIVE.policy.decide(CAPABILITIES, &call) {
                calls.push((number, arguments));
                expected.push(i32::from(errno));
            }
        }
    }
    let mut answers = super::std::vec![-1; calls.len()];
    let (answered, end) = trial::make(NATIVE.program, &calls, &mut answers);
    assert_eq!((answered, end.exit_status()), (calls.len(), Some(0)));
    for (index, call) in calls.iter().enumerate() {
        assert_eq!(answers[index], expected[index], "{call:x?}");
    }
}

#[test]
fn programs_keep_what_they_need() {
    const EBADF: i32 = 9;
    const EFAULT: i32 = 14;
    let cases = [
        ("getppid", [0; 3], 0),
        ("socket", [1, 1, 0], 0),
        ("socket", [2, 1, 0], 0),
        ("socket", [10, 2, 0], 0),
        ("socket", [16, 3, 0], 0),
        ("socketpair", [1, 1, 0], EFAULT),
        ("unshare", [0x200, 0, 0], 0),
        ("prctl", [3, 0, 0], 0),
        ("prctl", [15, 0, 0], EFAULT),
        ("personality", [0xffff_ffff, 0, 0], 0),
        // TCGETS and FIONREAD on no descriptor
        ("ioctl", [u64::MAX, 0x5401, 0], EBADF),
        ("ioctl", [u64::MAX, 0x541b, 0], EBADF),
        ("futex", [0, 1, 1], EFAULT),
    ];
    let calls: Vec<_> =
        cases.iter().map(|(name, [a, b, c], _)| (number(name), [*a, *b, *c, u64::MAX, 0, 0])).collect();
    let mut answers = [-1; 13];
    let (answered, end) = trial::make(NATIVE.program, &calls, &mut answers);
    assert_eq!((answered, end.exit_status()), (cases.len(), Some(0)));
    for ((name, arguments, expected), answer) in cases.iter().zip(answers) {
        assert_eq!(answer, *expected, "{name} {arguments:x?}");
    }
}

/// SIGSYS
#[cfg(target_arch = "x86_64")]
const SIGSYS: Option<i32> = Some(31);

#[cfg(target_arch = "x86_64")]
#[test]
fn x32_is_killed() {
    let getpid = super::super::policy::X32_BIT | number("getpid");
    let (answered, end) = trial::make(NATIVE.program, &[(getpid, [0; 6])], &mut [-1]);
    assert_eq!((answered, end.terminating_signal()), (0, SIGSYS));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn i386_is_killed() {
    let (answered, end) = trial::make_i386_getpid(NATIVE.program);
    assert_eq!((answered, end.terminating_signal()), (0, SIGSYS));
}
