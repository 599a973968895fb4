//! What the default policy says of calls that were a way out once, and of calls that programs live on.

use super::super::default::{AARCH64, CAPABILITIES, Default, NATIVE, X86_64};
use super::super::policy::{Action, Arch, Call};
use super::super::simulator;
use super::super::syscall::Syscall;

const BOTH: [(Arch, &Default); 2] = [(Arch::X86_64, &X86_64), (Arch::Aarch64, &AARCH64)];

const ALLOW: u32 = Action::Allow.value();
const EPERM: u32 = Action::Errno(1).value();
const EINVAL: u32 = Action::Errno(22).value();
const ENOSYS: u32 = Action::Errno(38).value();
const EPROTONOSUPPORT: u32 = Action::Errno(93).value();
const EAFNOSUPPORT: u32 = Action::Errno(97).value();
const KILL: u32 = Action::KillProcess.value();

/// What the default filter of each architecture that has the call `name` returns for it. All must agree.
fn answer(name: &str, first: u64, third: u64) -> u32 {
    let call = Syscall::named(name).expect(name);
    let mut answers = BOTH.into_iter().filter_map(|(arch, default)| {
        let arguments = [first, first, third, 0, 0, 0];
        let call = Call { number: call.number(arch)?, arch: arch.audit(), arguments };
        Some(simulator::run(default.program, &call).unwrap().value)
    });
    let answer = answers.next().unwrap();
    assert!(answers.all(|other| other == answer), "{name} differs between architectures");
    answer
}

#[test]
fn terminals_cannot_be_typed_into() {
    for command in [0x5412, 0x541c, 0x5423] {
        assert_eq!(answer("ioctl", command, 0), EPERM);
        // The kernel takes 32 bits of the command (CVE-2019-10063).
        assert_eq!(answer("ioctl", 1 << 32 | command, 0), EPERM);
        assert_eq!(answer("ioctl", u64::MAX << 32 | command, 0), EPERM);
    }
    // TCGETS, FIONREAD, SIOCGIFCONF, FICLONE
    for command in [0x5401, 0x541b, 0x8912, 0x4004_9409] {
        assert_eq!(answer("ioctl", command, 0), ALLOW);
    }
}

#[test]
fn only_families_that_programs_speak() {
    for family in [1, 2, 10] {
        assert_eq!(answer("socket", family, 0), ALLOW);
        assert_eq!(answer("socket", 0xdead_beef << 32 | family, 0), ALLOW);
    }
    for family in (0..64).filter(|family| ![1, 2, 10, 16].contains(family)) {
        assert_eq!(answer("socket", family, 0), EAFNOSUPPORT, "family {family}");
        assert_eq!(answer("socket", 1 << 32 | family, 0), EAFNOSUPPORT, "family {family}");
    }
    assert_eq!([answer("socket", 16, 0), answer("socket", 16, 15)], [ALLOW; 2]);
    for protocol in [4, 6, 9, 12, 16, 21] {
        assert_eq!(answer("socket", 16, protocol), EPROTONOSUPPORT);
    }
    assert_eq!(answer("socketpair", 1, 0), ALLOW);
    assert_eq!([answer("socketpair", 2, 0), answer("socketpair", 38, 0)], [EAFNOSUPPORT; 2]);
}

#[test]
fn no_namespace_is_made_or_entered() {
    // NEWTIME is one of unshare only: clone has its signal there.
    for flag in [0x80, 0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert_eq!(answer("unshare", flag, 0), EPERM);
        assert_eq!(answer("unshare", flag | 0x200, 0), EPERM);
        assert_eq!(answer("clone", flag | 17, 0), if flag == 0x80 { ALLOW } else { EPERM });
    }
    // Threads of glibc and musl, vfork, CLONE_FS and CLONE_FILES.
    for flags in [0x003d_0f00, 0x007d_0f00, 0x4111, 17, 0x0120_0011] {
        assert_eq!(answer("clone", flags, 0), ALLOW);
    }
    assert_eq!(
        [answer("unshare", 0x200, 0), answer("unshare", 0x400, 0), answer("unshare", 0, 0)],
        [ALLOW; 3]
    );
    // UNSHARE_EMPTY_MNTNS and whatever else comes.
    assert_eq!([answer("unshare", 0x10_0000, 0), answer("unshare", 1 << 40, 0)], [EPERM; 2]);
    assert_eq!([answer("setns", 0, 0), answer("setns", 3, 0)], [EPERM; 2]);
    assert_eq!(answer("clone3", 0, 0), ENOSYS);
}

#[test]
fn thread_names_but_not_forged_processes() {
    // SET_PDEATHSIG, SET_NAME, GET_NAME, CAPBSET_READ, SET_NO_NEW_PRIVS, SET_VMA, FUTEX_HASH
    for option in [1, 15, 16, 23, 38, 0x5356_4d41, 78] {
        assert_eq!(answer("prctl", option, 0), ALLOW);
    }
    assert_eq!([answer("prctl", 35, 0), answer("prctl", 1 << 32 | 35, 0)], [EPERM; 2]);
    assert_eq!([answer("prctl", 0, 0), answer("prctl", 79, 0), answer("prctl", u64::MAX, 0)], [EINVAL; 3]);
    for persona in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff, u64::MAX] {
        assert_eq!(answer("personality", persona, 0), ALLOW);
    }
    assert_eq!([answer("personality", 0x4_0000, 0), answer("personality", 6, 0)], [EPERM; 2]);
}

#[test]
fn dangerous_calls_are_refused() {
    for name in [
        "add_key",
        "bpf",
        "delete_module",
        "fanotify_init",
        "finit_module",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "init_module",
        "iopl",
        "kexec_file_load",
        "kexec_load",
        "keyctl",
        "mount",
        "mount_setattr",
        "move_mount",
        "open_by_handle_at",
        "open_tree",
        "perf_event_open",
        "pidfd_getfd",
        "pivot_root",
        "quotactl",
        "reboot",
        "request_key",
        "sethostname",
        "swapoff",
        "swapon",
        "syslog",
        "umount2",
        "userfaultfd",
        "vmsplice",
    ] {
        assert_eq!(answer(name, 0, 0), EPERM, "{name}");
    }
    for name in
        ["io_uring_setup", "io_uring_enter", "io_uring_register", "cachestat", "memfd_secret", "uselib"]
    {
        assert_eq!(answer(name, 0, 0), ENOSYS, "{name}");
    }
}

/// CVE-2021-41133: calls newer than the filter.
#[test]
fn unknown_numbers_and_other_instruction_sets() {
    for (arch, default) in BOTH {
        let ask = |number, audit| {
            let call = Call { number, arch: audit, arguments: [0; 6] };
            simulator::run(default.program, &call).unwrap().value
        };
        assert_eq!(
            [337, 423, 470, 600, 0x3fff_ffff, u32::MAX].map(|number| ask(number, arch.audit())),
            [ENOSYS; 6]
        );
        let x32 = if arch == Arch::X86_64 { KILL } else { ENOSYS };
        assert_eq!([0x4000_0000, 0x4000_0001, 0xffff_fffe].map(|number| ask(number, arch.audit())), [x32; 3]);
        // i386, 32-bit Arm, x86_64 with the other byte order.
        assert_eq!([0x4000_0003, 0x4000_0028, 0x8000_003e].map(|audit| ask(1, audit)), [KILL; 3]);
    }
}

/// Granted, a capability opens exactly the calls that need it.
#[test]
fn a_capability_opens_its_calls() {
    for (openers, name, closed) in [
        (&[2][..], "open_by_handle_at", EPERM),
        (&[9], "file_setattr", ENOSYS),
        (&[16], "finit_module", EPERM),
        (&[19], "pidfd_getfd", EPERM),
        (&[20], "acct", EPERM),
        (&[21], "mount", EPERM),
        (&[21], "setns", EPERM),
        (&[21], "clone3", ENOSYS),
        (&[22], "reboot", EPERM),
        (&[23], "move_pages", EPERM),
        (&[25], "clock_settime", EPERM),
        (&[26], "vhangup", EPERM),
        (&[34], "syslog", EPERM),
        (&[21, 38], "perf_event_open", EPERM),
        (&[21, 39], "bpf", EPERM),
    ] {
        for (arch, default) in BOTH {
            let number = Syscall::named(name).and_then(|call| call.number(arch)).unwrap();
            let call = Call { number, arch: arch.audit(), arguments: [0; 6] };
            let value = |capabilities| default.policy.decide(capabilities, &call).value();
            let all_others = openers.iter().fold(u64::MAX, |set, bit| set & !(1 << bit));
            assert_eq!([value(CAPABILITIES), value(0), value(all_others)], [closed; 3], "{name}");
            openers.iter().for_each(|bit| assert_eq!(value(CAPABILITIES | 1 << bit), ALLOW, "{name}"));
        }
    }
    let chroot = Syscall::named("chroot").unwrap().number(Arch::NATIVE).unwrap();
    let chroot = Call { number: chroot, arch: Arch::NATIVE.audit(), arguments: [0; 6] };
    let value = |capabilities| NATIVE.policy.decide(capabilities, &chroot).value();
    assert_eq!([value(CAPABILITIES), value(0)], [ALLOW, EPERM]);
}
