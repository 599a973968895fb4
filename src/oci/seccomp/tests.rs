//! Profiles and what comes of them.

use super::{Compiled, Context, Unknown, compile};
use pipkin::bpf::policy::{Action, Arch, Call};
use pipkin::bpf::simulator;
use pipkin::bpf::syscall::Syscall;

const CONTEXT: Context =
    Context { arch: Arch::NATIVE, capabilities: 0, kernel: (6, 1), unknown: Unknown::Refuse };

const ALLOW: u32 = Action::Allow.value();
const EPERM: u32 = Action::Errno(1).value();
const ENOSYS: u32 = Action::Errno(38).value();
const KILL: u32 = Action::KillProcess.value();

fn compiled(text: &str, context: Context) -> Compiled {
    compile(text.as_bytes(), context).unwrap_or_else(|fault| panic!("{}", fault.in_document(text.as_bytes())))
}

/// A profile with these members of `syscalls`, refusing everything else with EPERM.
fn strict(blocks: &str) -> String {
    ["{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[", blocks, "]}"].concat()
}

/// What the profile of `blocks` says of a native call.
fn answer(blocks: &str, context: Context, name: &str, arguments: [u64; 6]) -> u32 {
    let number = Syscall::named(name).and_then(|call| call.number(Arch::NATIVE)).expect(name);
    ask(&compiled(&strict(blocks), context), number, Arch::NATIVE.audit(), arguments)
}

fn ask(compiled: &Compiled, number: u32, arch: u32, arguments: [u64; 6]) -> u32 {
    simulator::verify(&compiled.program).unwrap();
    simulator::run(&compiled.program, &Call { number, arch, arguments }).unwrap().value
}

fn told(text: &str) -> String {
    compile(text.as_bytes(), CONTEXT)
        .map_or_else(|fault| fault.in_document(text.as_bytes()), |_| "good".to_owned())
}

#[test]
fn every_word_of_a_profile_counts() {
    let one = |operator: &str, value: &str| {
        [
            r#"{"names":["dup"],"action":"SCMP_ACT_ALLOW","args":[{"index":2,"#,
            value,
            r#","op":""#,
            operator,
            "\"}]}",
        ]
        .concat()
    };
    let third = |value| [0, 0, value, 0, 0, 0];
    let high = 1 << 32;
    for (operator, value, allowed, refused) in [
        ("SCMP_CMP_EQ", r#""value":5"#, [5, 5], [high | 5, 4]),
        ("SCMP_CMP_NE", r#""value":5"#, [high | 5, 4], [5, 5]),
        ("SCMP_CMP_LT", r#""value":4294967297"#, [high, 7], [high | 1, u64::MAX]),
        ("SCMP_CMP_LE", r#""value":4294967297"#, [high | 1, 7], [high | 2, u64::MAX]),
        ("SCMP_CMP_GT", r#""value":4294967297"#, [high | 2, u64::MAX], [high | 1, 7]),
        ("SCMP_CMP_GE", r#""value":4294967297"#, [high | 1, u64::MAX], [high, 7]),
        ("SCMP_CMP_MASKED_EQ", r#""value":240,"valueTwo":21"#, [0x10, high | 0x1f], [0x20, 0x31]),
    ] {
        for argument in allowed {
            assert_eq!(
                answer(&one(operator, value), CONTEXT, "dup", third(argument)),
                ALLOW,
                "{operator} {argument}"
            );
        }
        for argument in refused {
            assert_eq!(
                answer(&one(operator, value), CONTEXT, "dup", third(argument)),
                EPERM,
                "{operator} {argument}"
            );
        }
    }
    for (action, value) in [
        (r#""SCMP_ACT_KILL""#, Action::KillThread),
        (r#""SCMP_ACT_KILL_PROCESS""#, Action::KillProcess),
        (r#""SCMP_ACT_TRAP""#, Action::Trap(0)),
        (r#""SCMP_ACT_LOG""#, Action::Log),
        (r#""SCMP_ACT_TRACE","errnoRet":9"#, Action::Trace(9)),
        (r#""SCMP_ACT_ERRNO","errnoRet":4095"#, Action::Errno(4095)),
        (r#""SCMP_ACT_ERRNO","errno":"ENOSYS""#, Action::Errno(38)),
    ] {
        let block = [r#"{"name":"dup","args":null,"action":"#, action, "}"].concat();
        assert_eq!(answer(&block, CONTEXT, "dup", [0; 6]), value.value(), "{action}");
    }
}

#[test]
fn includes_and_excludes() {
    let block = |clause: &str| [r#"{"names":["dup"],"action":"SCMP_ACT_ALLOW","#, clause, "}"].concat();
    let admin = Context { capabilities: 1 << 21 | 1 << 13, ..CONTEXT };
    let old = Context { kernel: (4, 7), ..CONTEXT };
    let here = if Arch::NATIVE == Arch::X86_64 { "amd64" } else { "arm64" };
    for (clause, context, expected) in [
        (r#""includes":{"caps":["CAP_SYS_ADMIN"]}"#, admin, ALLOW),
        (r#""includes":{"caps":["CAP_SYS_ADMIN","CAP_SYS_TIME"]}"#, admin, EPERM),
        (r#""includes":{"caps":["CAP_SYS_ADMIN"]}"#, CONTEXT, EPERM),
        (r#""excludes":{"caps":["CAP_SYS_ADMIN"]}"#, admin, EPERM),
        (r#""excludes":{"caps":["CAP_SYS_TIME","CAP_NET_RAW"]}"#, admin, EPERM),
        (r#""excludes":{"caps":["CAP_SYS_TIME"]},"includes":{}"#, admin, ALLOW),
        (r#""includes":{"minKernel":"4.8"}"#, CONTEXT, ALLOW),
        (r#""includes":{"minKernel":"4.8"}"#, old, EPERM),
        (r#""excludes":{"minKernel":"4.8"}"#, old, ALLOW),
        (&[r#""includes":{"arches":["s390x",""#, here, r#""]}"#].concat(), CONTEXT, ALLOW),
        (r#""includes":{"arches":["s390x"]}"#, CONTEXT, EPERM),
        (&[r#""excludes":{"arches":[""#, here, r#""]}"#].concat(), CONTEXT, EPERM),
        (r#""excludes":{"arches":["s390x"]}"#, CONTEXT, ALLOW),
    ] {
        assert_eq!(answer(&block(clause), context, "dup", [0; 6]), expected, "{clause}");
    }
}

#[test]
fn where_rules_differ_the_stricter_counts() {
    let allow = r#"{"names":["clone"],"action":"SCMP_ACT_ALLOW"}"#;
    let refuse = r#"{"names":["clone"],"action":"SCMP_ACT_ERRNO","errnoRet":7,"args":[{"index":0,"value":5,"op":"SCMP_CMP_EQ"}]}"#;
    for blocks in [[allow, refuse].join(","), [refuse, allow].join(",")] {
        assert_eq!(answer(&blocks, CONTEXT, "clone", [5, 0, 0, 0, 0, 0]), Action::Errno(7).value());
        assert_eq!(answer(&blocks, CONTEXT, "clone", [6, 0, 0, 0, 0, 0]), ALLOW);
    }
    // One argument twice: both to allow, either to refuse.
    let twice =
        r#""args":[{"index":0,"value":5,"op":"SCMP_CMP_GT"},{"index":0,"value":9,"op":"SCMP_CMP_LT"}]"#;
    let allow = [r#"{"names":["dup"],"action":"SCMP_ACT_ALLOW","#, twice, "}"].concat();
    let answers = [4, 7, 11].map(|argument| answer(&allow, CONTEXT, "dup", [argument, 0, 0, 0, 0, 0]));
    assert_eq!(answers, [EPERM, ALLOW, EPERM]);
    let open =
        ["{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[", &allow.replace("ALLOW", "ERRNO"), "]}"]
            .concat();
    let number = Syscall::named("dup").and_then(|call| call.number(Arch::NATIVE)).unwrap();
    let compiled = compiled(&open, CONTEXT);
    let answers =
        [4, 7, 11].map(|argument| ask(&compiled, number, Arch::NATIVE.audit(), [argument, 0, 0, 0, 0, 0]));
    assert_eq!(answers, [EPERM; 3]);
}

#[test]
fn calls_outside_the_profile() {
    let profile = strict(r#"{"names":["read","exit_group"],"action":"SCMP_ACT_ALLOW"}"#);
    let profile = compiled(&profile, CONTEXT);
    let native = Arch::NATIVE.audit();
    let exit_group = Syscall::named("exit_group").and_then(|call| call.number(Arch::NATIVE)).unwrap();
    let answers = [exit_group - 1, exit_group, exit_group + 1, 4000, u32::MAX];
    let answers = answers.map(|number| ask(&profile, number, native, [0; 6]));
    assert_eq!(answers, [EPERM, ALLOW, ENOSYS, ENOSYS, ENOSYS]);
    assert_eq!([Arch::X86, Arch::Arm].map(|arch| ask(&profile, 3, arch.audit(), [0; 6])), [KILL; 2]);
    if Arch::NATIVE == Arch::X86_64 {
        assert_eq!(ask(&profile, 0x4000_0000, native, [0; 6]), KILL);
    }
}

#[test]
fn programs_of_the_other_width() {
    let (main, sub, arch) = match Arch::NATIVE {
        Arch::Aarch64 => ("AARCH64", "ARM", Arch::Arm),
        _ => ("X86_64", "X86", Arch::X86),
    };
    let rules =
        r#""defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["getuid32"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let map =
        [r#"{"archMap":[{"architecture":"SCMP_ARCH_"#, main, r#"","subArchitectures":["SCMP_ARCH_"#, sub];
    let map = [&map.concat(), r#"","SCMP_ARCH_X32"]}],"#, rules].concat();
    let list = [r#"{"architectures":["SCMP_ARCH_"#, sub, r#"","SCMP_ARCH_PPC64LE"],"#, rules].concat();
    for text in [map, list] {
        let profile = compiled(&text, CONTEXT);
        assert_eq!(ask(&profile, 199, arch.audit(), [0; 6]), ALLOW);
        assert_eq!(ask(&profile, 198, arch.audit(), [0; 6]), EPERM);
        assert_eq!(ask(&profile, 199, 0x8000_0015, [0; 6]), KILL);
    }
}

#[test]
fn arms_own_calls_lie_far_above_the_others() {
    let blocks = r#"{"names":["read","set_tls"],"action":"SCMP_ACT_ALLOW"}"#;
    let profile = strict(blocks).replacen('{', r#"{"architectures":["SCMP_ARCH_ARM"],"#, 1);
    let profile = compiled(&profile, Context { arch: Arch::Aarch64, ..CONTEXT });
    let numbers = [2, 3, 4, 450, 0xe_ffff, 0xf_0004, 0xf_0005, 0xf_0006, u32::MAX];
    let answers = numbers.map(|number| ask(&profile, number, Arch::Arm.audit(), [0; 6]));
    assert_eq!(answers, [EPERM, ALLOW, ENOSYS, ENOSYS, ENOSYS, EPERM, ALLOW, ENOSYS, ENOSYS]);
}

#[test]
fn flags_and_listener() {
    let with =
        |members: &str| compiled(&["{\"defaultAction\":\"SCMP_ACT_ALLOW\",", members, "}"].concat(), CONTEXT);
    assert!(with(r#""syscalls":[]"#).flags.allow_speculation);
    assert!(!with(r#""flags":[]"#).flags.allow_speculation);
    let all = r#""flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_TSYNC","SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#;
    let flags = with(all).flags;
    assert!(flags.log && flags.all_threads && flags.allow_speculation);
    let asking = r#""listenerPath":"/run/agent","listenerMetadata":"x","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_NOTIFY"}]"#;
    let listener = with(asking).listener.unwrap();
    assert_eq!((listener.path.as_str(), listener.metadata.as_str()), ("/run/agent", "x"));
    assert_eq!(with(r#""listenerPath":"/run/agent""#).listener, None);
}

#[test]
fn unknown_names() {
    let skip = Context { unknown: Unknown::Skip, ..CONTEXT };
    let block = |action: &str| [r#"{"names":["dup","listns9"],"action":""#, action, "\"}"].concat();
    assert_eq!(answer(&block("SCMP_ACT_ALLOW"), skip, "dup", [0; 6]), ALLOW);
    let open = |action: &str| {
        ["{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[", &block(action), "]}"].concat()
    };
    // Passing over this one would allow what the profile refuses.
    assert!(compile(open("SCMP_ACT_ERRNO").as_bytes(), skip).is_err());
    assert!(compile(open("SCMP_ACT_ALLOW").as_bytes(), skip).is_ok());
}

#[test]
fn faults_are_told_with_their_place() {
    for (text, place) in [
        ("[]", "line 1, column 1: this must be an object"),
        ("{}", "line 1, column 1: defaultAction is missing"),
        (r#"{"defaultAction":"ALLOW"}"#, "line 1, column 18: ALLOW is not an action"),
        (
            r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#,
            "line 1, column 18: SCMP_ACT_NOTIFY cannot be the default: the listener itself would wait",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}"#,
            "line 1, column 53: this must be a whole number, 0 to 4095",
        ),
        (
            "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\n\"architectures\":[\"X86\"]}",
            "line 2, column 18: X86 is not an architecture",
        ),
        (r#"{"defaultAction":"SCMP_ACT_LOG","flags":["LOG"]}"#, "line 1, column 42: LOG is not a flag"),
    ] {
        assert_eq!(told(text), place, "{text}");
    }
    for (block, what) in [
        (r#"{"names":["dup"]}"#, "action is missing"),
        (r#"{"action":"SCMP_ACT_ALLOW"}"#, "give the calls in names"),
        (r#"{"name":"dup","names":["dup"],"action":"SCMP_ACT_ALLOW"}"#, "give the calls in names"),
        (r#"{"names":["dup4"],"action":"SCMP_ACT_ALLOW"}"#, "dup4 is not a known system call"),
        (r#"{"names":"dup","action":"SCMP_ACT_ALLOW"}"#, "this must be an array"),
        (r#"{"names":[3],"action":"SCMP_ACT_ALLOW"}"#, "this must be a string"),
        (
            r#"{"names":["sendmsg"],"action":"SCMP_ACT_NOTIFY"}"#,
            "sendmsg cannot be SCMP_ACT_NOTIFY: the listener's descriptor is sent with it",
        ),
        (r#"{"names":["dup"],"action":"SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY needs a listenerPath"),
        (
            r#"{"names":["dup"],"action":"SCMP_ACT_ERRNO","errno":"EBADE"}"#,
            "give the number of this errno as errnoRet",
        ),
        (
            r#"{"names":["dup"],"action":"SCMP_ACT_ALLOW","args":[{"index":6}]}"#,
            "this must be a whole number, 0 to 5",
        ),
        (r#"{"names":["dup"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1}]}"#, "op is missing"),
        (
            r#"{"names":["dup"],"action":"SCMP_ACT_ALLOW","args":[{"value":1,"op":"SCMP_CMP_EQ"}]}"#,
            "index is missing",
        ),
        (
            r#"{"names":["dup"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"op":"SCMP_CMP_EQ"}]}"#,
            "value is missing",
        ),
        (
            r#"{"names":["dup"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"EQ"}]}"#,
            "EQ is not a comparison",
        ),
        (
            r#"{"names":["dup"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["ROOT"]}}"#,
            "this is not a capability",
        ),
        (
            r#"{"names":["dup"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4"}}"#,
            "give a version as 4.8",
        ),
    ] {
        let said = told(&strict(block));
        assert!(said.starts_with("line 1, column ") && said.ends_with(what), "{block}: {said}");
    }
}

const SEED: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"flags":["SECCOMP_FILTER_FLAG_LOG"],
"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[
{"names":["read","clone","socketcall"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":9,"valueTwo":1,
"op":"SCMP_CMP_MASKED_EQ"},{"index":1,"value":18446744073709551615,"op":"SCMP_CMP_GE"}]},{"name":"dup",
"action":"SCMP_ACT_TRAP","includes":{"caps":["CAP_KILL"],"minKernel":"4.8","arches":["amd64"]},"excludes":{}}]}"#;

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
    /// Words and punctuation of profiles in any order either make a program the kernel takes or a fault in the text.
    #[test]
    fn whatever_is_given_ends_well(
        swaps in proptest::collection::vec((proptest::prelude::any::<u16>(), proptest::prelude::any::<u16>()), 0..5),
        number in proptest::prelude::any::<u64>(),
    ) {
        let mut words: Vec<&str> = SEED.split_inclusive(['"', ',', ':', '[', ']', '{', '}']).collect();
        let number = number.to_string();
        for (one, other) in swaps {
            let (one, other) = (usize::from(one) % words.len(), usize::from(other) % words.len());
            words.swap(one, other);
            if words[other].starts_with(|letter: char| letter.is_ascii_digit()) {
                words[other] = &number;
            }
        }
        let text = words.concat();
        match compile(text.as_bytes(), CONTEXT) {
            Ok(compiled) => proptest::prop_assert_eq!(simulator::verify(&compiled.program), Ok(())),
            Err(fault) => proptest::prop_assert!(fault.at <= text.len()),
        }
    }
}
