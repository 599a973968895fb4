//! The duties of an init, shown on its decisions.

use super::option::{Answer, Answers, End, Options, Orphan, Remap, Scope};
use super::state::{Act, Event, Outcome, State, Target};

const MAIN: i32 = 7;
const ORPHAN: i32 = 99;
const INT: i32 = 2;
const KILL: i32 = 9;
const TERM: i32 = 15;
const CHLD: i32 = 17;
const NOW_MS: u64 = 1000;

fn came(signal: i32) -> Event {
    Event::Signal { signal, own: false }
}

fn exited(pid: i32, code: u8) -> Event {
    Event::Exited { pid, code }
}

fn ended(code: u8) -> Option<Outcome> {
    Some(Outcome { code, end: None })
}

/// PID 1 of a container.
fn first(options: &Options) -> State<'_> {
    State::new(options, true, Some(MAIN))
}

/// An init below another one.
fn second(options: &Options) -> State<'_> {
    State::new(options, false, Some(MAIN))
}

#[test]
fn every_signal_reaches_the_main_child_unchanged() {
    let mut state = first(&Options::PLAIN);
    for signal in (1..=64).filter(|signal| *signal != CHLD) {
        assert_eq!(state.step(NOW_MS, came(signal)), Act::Send(Target::Process(MAIN), signal));
    }
    assert_eq!(state.outcome(), None);
}

#[test]
fn a_sigchld_from_outside_is_neither_forwarded_nor_the_end() {
    let mut state = first(&Options::PLAIN);
    assert_eq!(state.step(NOW_MS, came(CHLD)), Act::Nothing);
    assert_eq!((state.outcome(), state.deadline_ms()), (None, None));
}

#[test]
fn a_signal_of_our_own_making_is_not_forwarded() {
    let mut state = first(&Options::PLAIN);
    assert_eq!(state.step(NOW_MS, Event::Signal { signal: 13, own: true }), Act::Nothing);
}

#[test]
fn a_payload_that_ignores_term_keeps_running() {
    let options = Options { orphan: Orphan::End, grace_ms: 10, ..Options::PLAIN };
    let mut state = first(&options);
    state.step(NOW_MS, came(TERM));
    assert_eq!((state.outcome(), state.deadline_ms()), (None, None));
    assert_eq!(state.step(u64::MAX, Event::Tick), Act::Nothing);
}

#[test]
fn the_scope_says_whom_signals_reach() {
    let group = Options { scope: Scope::Group, ..Options::PLAIN };
    assert_eq!(first(&group).step(NOW_MS, came(1)), Act::Send(Target::Group(MAIN), 1));
    let all = Options { scope: Scope::All, ..Options::PLAIN };
    assert_eq!(first(&all).step(NOW_MS, came(1)), Act::Send(Target::All, 1));
}

#[test]
fn the_whole_machine_is_never_reached_from_below_pid_1() {
    for scope in [Scope::Child, Scope::Group, Scope::All] {
        let options = Options { scope, orphan: Orphan::End, grace_ms: 5, ..Options::PLAIN };
        for main in [Some(MAIN), None] {
            let mut state = State::new(&options, false, main);
            let events = [came(1), exited(MAIN, 0), came(1), Event::Tick, came(TERM)];
            for (event, now_ms) in events.into_iter().zip([1, 2, 3, 1000, 1001]) {
                assert!(
                    !matches!(state.step(now_ms, event), Act::Send(Target::All, _)),
                    "{scope:?} {event:?}"
                );
            }
        }
    }
}

#[test]
fn signals_can_be_rewritten_and_dropped() {
    let answers = Answers::FORWARD.with(TERM, Answer::Forward(3)).unwrap().with(1, Answer::Drop).unwrap();
    let options = Options { answers, ..Options::PLAIN };
    let mut state = first(&options);
    assert_eq!(state.step(NOW_MS, came(TERM)), Act::Send(Target::Process(MAIN), 3));
    assert_eq!(state.step(NOW_MS, came(1)), Act::Nothing);
}

#[test]
fn a_term_can_be_held_back() {
    let answers = Answers::FORWARD.with(TERM, Answer::Forward(3)).unwrap();
    let options = Options { delay_ms: 500, answers, ..Options::PLAIN };
    let mut state = first(&options);
    assert_eq!(state.step(NOW_MS, came(TERM)), Act::Nothing);
    assert_eq!(state.deadline_ms(), Some(NOW_MS + 500));
    assert_eq!(state.step(NOW_MS + 1, came(INT)), Act::Send(Target::Process(MAIN), INT));
    assert_eq!(state.step(NOW_MS + 499, Event::Tick), Act::Nothing);
    assert_eq!(state.step(NOW_MS + 500, Event::Tick), Act::Send(Target::Process(MAIN), 3));
    assert_eq!(state.deadline_ms(), None);
}

#[test]
fn a_second_term_cuts_the_wait_short_and_is_sent_once() {
    let options = Options { delay_ms: 500, ..Options::PLAIN };
    let mut state = first(&options);
    state.step(NOW_MS, came(TERM));
    assert_eq!(state.step(NOW_MS + 1, came(TERM)), Act::Send(Target::Process(MAIN), TERM));
    assert_eq!(state.deadline_ms(), None);
    assert_eq!(state.step(NOW_MS + 500, Event::Tick), Act::Nothing);
}

#[test]
fn a_held_back_term_never_reaches_a_pid_that_is_gone() {
    let options = Options { delay_ms: 500, orphan: Orphan::Wait, ..Options::PLAIN };
    let mut state = second(&options);
    state.step(NOW_MS, came(TERM));
    state.step(NOW_MS + 1, exited(MAIN, 0));
    assert_eq!(state.deadline_ms(), None);
    assert_eq!(state.step(NOW_MS + 500, Event::Tick), Act::Nothing);
}

#[test]
fn codes_are_passed_through_or_remapped() {
    for code in 0..=255 {
        let mut state = first(&Options::PLAIN);
        assert_eq!(state.step(NOW_MS, exited(MAIN, code)), Act::Nothing);
        assert_eq!(state.outcome(), ended(code));
    }
    let options = Options { remap: Remap::NONE.with(143, 0), ..Options::PLAIN };
    let mut state = first(&options);
    state.step(NOW_MS, exited(MAIN, 143));
    assert_eq!(state.outcome(), ended(0));
}

#[test]
fn an_orphan_is_reaped_without_a_word_and_changes_nothing() {
    let options = Options { orphan: Orphan::End, grace_ms: 10, ..Options::PLAIN };
    let mut state = first(&options);
    assert_eq!(state.step(NOW_MS, exited(ORPHAN, 1)), Act::Nothing);
    state.step(NOW_MS, exited(MAIN, 3));
    assert_eq!(state.step(NOW_MS, exited(ORPHAN, 4)), Act::Nothing);
    // The main child's id may come again in its place.
    assert_eq!(state.step(NOW_MS, exited(MAIN, 5)), Act::Nothing);
    state.step(NOW_MS, Event::Alone);
    assert_eq!(state.outcome(), ended(3));
}

#[test]
fn orphans_are_told_on_request() {
    let options = Options { verbose: true, ..Options::PLAIN };
    let mut state = first(&options);
    assert_eq!(state.step(NOW_MS, exited(ORPHAN, 137)), Act::Tell { pid: ORPHAN, code: 137 });
    assert_eq!(state.step(NOW_MS, exited(MAIN, 0)), Act::Nothing);
}

#[test]
fn the_others_are_asked_then_killed_within_the_grace() {
    let options = Options { orphan: Orphan::End, grace_ms: 200, ..Options::PLAIN };
    for (mut state, rest) in [(first(&options), Target::All), (second(&options), Target::Group(MAIN))] {
        assert_eq!(state.step(NOW_MS, exited(MAIN, 4)), Act::Send(rest, TERM));
        assert_eq!((state.ending(), state.deadline_ms()), (Some(rest), Some(NOW_MS + 200)));
        assert_eq!(state.step(NOW_MS + 199, Event::Tick), Act::Nothing);
        assert_eq!(state.outcome(), None);
        assert_eq!(state.step(NOW_MS + 200, Event::Tick), Act::Send(rest, KILL));
        assert_eq!(state.outcome(), ended(4));
    }
}

#[test]
fn the_wait_ends_when_nobody_is_left() {
    let options = Options { orphan: Orphan::End, grace_ms: 200, ..Options::PLAIN };
    let mut state = first(&options);
    assert_eq!(state.step(NOW_MS, Event::Alone), Act::Nothing);
    assert_eq!(state.outcome(), None);
    state.step(NOW_MS, exited(MAIN, 4));
    assert_eq!(state.step(NOW_MS + 1, Event::Alone), Act::Nothing);
    assert_eq!(state.outcome(), ended(4));
}

#[test]
fn without_grace_the_others_are_asked_and_not_waited_for() {
    let options = Options { orphan: Orphan::End, ..Options::PLAIN };
    let mut state = second(&options);
    assert_eq!(state.step(NOW_MS, exited(MAIN, 4)), Act::Send(Target::Group(MAIN), TERM));
    assert_eq!(state.outcome(), ended(4));
}

#[test]
fn a_main_program_in_the_background_is_waited_for() {
    let options = Options { orphan: Orphan::Wait, ..Options::PLAIN };
    let mut state = first(&options);
    assert_eq!(state.step(NOW_MS, exited(MAIN, 0)), Act::Nothing);
    assert!(state.waiting());
    assert_eq!((state.outcome(), state.deadline_ms()), (None, None));
    assert_eq!(state.step(NOW_MS, came(TERM)), Act::Send(Target::All, TERM));
    state.step(NOW_MS, Event::Alone);
    assert_eq!(state.outcome(), ended(0));
}

#[test]
fn pause_reaps_until_term_or_int_and_ends_with_0() {
    for last in [TERM, INT] {
        let mut state = State::new(&Options::PLAIN, true, None);
        for signal in (1..=64).filter(|signal| ![TERM, INT].contains(signal)) {
            assert_eq!(state.step(NOW_MS, came(signal)), Act::Nothing);
        }
        assert_eq!(state.step(NOW_MS, exited(ORPHAN, 1)), Act::Nothing);
        assert_eq!(state.outcome(), None);
        assert_eq!(state.step(NOW_MS, came(last)), Act::Nothing);
        assert_eq!(state.outcome(), ended(0));
    }
}

#[test]
fn an_order_ends_everything_and_keeps_the_code() {
    let answers = Answers::DROP.with(TERM, Answer::End(End::Reboot)).unwrap();
    let answers = answers.with(12, Answer::End(End::PowerOff)).unwrap();
    let options = Options { answers, orphan: Orphan::End, grace_ms: 200, ..Options::PLAIN };
    let mut state = first(&options);
    assert_eq!(state.step(NOW_MS, came(1)), Act::Nothing);
    assert_eq!(state.step(NOW_MS, came(TERM)), Act::Send(Target::All, TERM));
    // A second order changes how, not when; the main child's end no longer sets anything off.
    assert_eq!(state.step(NOW_MS + 1, came(12)), Act::Nothing);
    assert_eq!(state.step(NOW_MS + 2, exited(MAIN, 6)), Act::Nothing);
    assert_eq!(state.deadline_ms(), Some(NOW_MS + 200));
    state.step(NOW_MS + 3, Event::Alone);
    assert_eq!(state.outcome(), Some(Outcome { code: 6, end: Some(End::PowerOff) }));
}

#[test]
fn who_does_not_obey_an_order_counts_as_killed() {
    let answers = Answers::DROP.with(TERM, Answer::End(End::Reboot)).unwrap();
    let options = Options { answers, orphan: Orphan::End, grace_ms: 200, ..Options::PLAIN };
    let mut state = first(&options);
    state.step(NOW_MS, came(TERM));
    assert_eq!(state.step(NOW_MS + 200, Event::Tick), Act::Send(Target::All, KILL));
    assert_eq!(state.outcome(), Some(Outcome { code: 137, end: Some(End::Reboot) }));
}

#[test]
fn idle_means_no_deadline() {
    let options = Options { orphan: Orphan::End, grace_ms: 200, delay_ms: 500, ..Options::PLAIN };
    assert_eq!(first(&options).deadline_ms(), None);
}

#[test]
fn services_without_a_main_program_are_asked_to_end() {
    let options = Options { serves: true, orphan: Orphan::End, grace_ms: 200, ..Options::PLAIN };
    let mut state = State::new(&options, true, None);
    assert_eq!(state.step(NOW_MS, came(1)), Act::Nothing);
    assert!(!state.over());
    assert_eq!(state.step(NOW_MS, came(TERM)), Act::Send(Target::All, TERM));
    assert!(state.over());
    // One who does not wait for it is not asked twice.
    assert_eq!(state.step(NOW_MS + 1, came(INT)), Act::Nothing);
    assert_eq!(state.step(NOW_MS + 200, Event::Tick), Act::Send(Target::All, KILL));
    assert_eq!(state.outcome(), ended(0));
}
