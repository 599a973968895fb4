//! What an init decides. Pure: an event and the time go in, at most one act comes out.
//!
//! Duty: who is told what, when init is done and with which code. It makes no call and knows no descriptor, so
//! each duty of an init is a unit test here.

use super::option::{Answer, End, Options, Orphan, Scope};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
const SIGCHLD: i32 = 17;

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A signal came. `own` when init itself was the cause, such as SIGPIPE for what it writes.
    Signal {
        /// Its number.
        signal: i32,
        /// Whether its sender is init itself.
        own: bool,
    },
    /// A child was reaped.
    Exited {
        /// Its process id.
        pid: i32,
        /// How it ended: its exit code, or 128 + n when killed by signal n.
        code: u8,
    },
    /// Nobody is left of those whom the end is waited for.
    Alone,
    /// The time may have come for what was put off.
    Tick,
}

/// Whom a signal is sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The process of this id.
    Process(i32),
    /// The process group of this id.
    Group(i32),
    /// Every other process of the pid namespace.
    All,
    /// Nobody.
    Nobody,
}

/// Something to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Send a signal.
    Send(Target, i32),
    /// Tell that an orphan was reaped.
    Tell {
        /// Its process id.
        pid: i32,
        /// How it ended.
        code: u8,
    },
}

/// How it all ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The code to exit with.
    pub code: u8,
    /// What a signal asked of the machine.
    pub end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The main child runs, or there is none and init only reaps.
    Running,
    /// TERM was sent to all who are left; KILL follows at this time.
    Ending { kill_at_ms: u64 },
    /// The main child has ended; the others are waited for without being asked to end.
    Waiting,
    /// Nothing is left to do.
    Done,
}

/// The state of an init.
#[derive(Debug)]
pub struct State<'o> {
    options: &'o Options,
    /// PID 1 of its namespace, so that "everyone" means the namespace.
    first: bool,
    /// The main child, also after its end: it names the group. None in pause mode.
    main: Option<i32>,
    /// How the main child ended, once it has.
    code: Option<u8>,
    end: Option<End>,
    phase: Phase,
    /// When the TERM held back is to be sent on.
    term_at_ms: Option<u64>,
}

impl<'o> State<'o> {
    /// An init with a main child, or one that only reaps until it is told to go.
    #[must_use]
    pub const fn new(options: &'o Options, first: bool, main: Option<i32>) -> Self {
        Self { options, first, main, code: None, end: None, phase: Phase::Running, term_at_ms: None }
    }

    /// Takes one event at `now_ms` on a clock that never goes back, and says what to do.
    pub fn step(&mut self, now_ms: u64, event: Event) -> Act {
        match event {
            Event::Signal { own: true, .. } => Act::Nothing,
            Event::Signal { signal, .. } => self.signal(now_ms, signal),
            Event::Exited { pid, code } => self.exited(now_ms, pid, code),
            Event::Alone if matches!(self.phase, Phase::Ending { .. } | Phase::Waiting) => {
                self.phase = Phase::Done;
                Act::Nothing
            }
            Event::Alone => Act::Nothing,
            Event::Tick => self.tick(now_ms),
        }
    }

    /// The time of the next thing put off; without one, init sleeps until something happens.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let kill_at_ms = match self.phase {
            Phase::Ending { kill_at_ms } => Some(kill_at_ms),
            _ => None,
        };
        [kill_at_ms, self.term_at_ms].into_iter().flatten().min()
    }

    /// Whether it has begun to end: what is sent from then on is for all who are left.
    #[must_use]
    pub fn over(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. } | Phase::Done)
    }

    /// Those whose end is being waited for with a deadline.
    #[must_use]
    pub fn ending(&self) -> Option<Target> {
        matches!(self.phase, Phase::Ending { .. }).then(|| self.rest())
    }

    /// Whether the last child's end is the end.
    #[must_use]
    pub fn waiting(&self) -> bool {
        self.phase == Phase::Waiting
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        // Whoever was killed before the main child was seen to end took it along: 128 + SIGKILL.
        let default = if self.main.is_some() { 137 } else { 0 };
        let code = self.options.remap.of(self.code.unwrap_or(default));
        (self.phase == Phase::Done).then_some(Outcome { code, end: self.end })
    }

    fn signal(&mut self, now_ms: u64, signal: i32) -> Act {
        if signal == SIGCHLD {
            return Act::Nothing;
        }
        match self.options.answers.to(signal) {
            Answer::Drop => Act::Nothing,
            Answer::End(end) => self.ordered(now_ms, end),
            Answer::Forward(_) if self.main.is_none() => {
                if signal != SIGTERM && signal != SIGINT || self.phase != Phase::Running {
                    return Act::Nothing;
                }
                if self.options.serves {
                    return self.end_rest(now_ms);
                }
                self.phase = Phase::Done;
                Act::Nothing
            }
            Answer::Forward(_) if signal == SIGTERM && self.hold_back(now_ms) => Act::Nothing,
            Answer::Forward(other) => Act::Send(self.target(), i32::from(other)),
        }
    }

    /// Whether a TERM is held back: the first one is, the second one goes through at once for both.
    fn hold_back(&mut self, now_ms: u64) -> bool {
        if self.options.delay_ms == 0 || self.phase != Phase::Running || self.term_at_ms.take().is_some() {
            return false;
        }
        self.term_at_ms = Some(now_ms.saturating_add(u64::from(self.options.delay_ms)));
        true
    }

    /// The machine is to end; a second order changes how, not when.
    fn ordered(&mut self, now_ms: u64, end: End) -> Act {
        self.end = Some(end);
        if self.phase == Phase::Running || self.phase == Phase::Waiting {
            return self.end_rest(now_ms);
        }
        Act::Nothing
    }

    fn exited(&mut self, now_ms: u64, pid: i32, code: u8) -> Act {
        if self.main != Some(pid) || self.code.is_some() {
            return if self.options.verbose { Act::Tell { pid, code } } else { Act::Nothing };
        }
        self.code = Some(code);
        self.term_at_ms = None;
        if self.phase != Phase::Running {
            return Act::Nothing;
        }
        match self.options.orphan {
            Orphan::Leave => {
                self.phase = Phase::Done;
                Act::Nothing
            }
            Orphan::End => self.end_rest(now_ms),
            Orphan::Wait => {
                self.phase = Phase::Waiting;
                Act::Nothing
            }
        }
    }

    /// Asks all who are left to end. Without a grace there is nothing to wait for.
    fn end_rest(&mut self, now_ms: u64) -> Act {
        self.term_at_ms = None;
        self.phase = match self.options.grace_ms {
            0 => Phase::Done,
            grace_ms => Phase::Ending { kill_at_ms: now_ms.saturating_add(u64::from(grace_ms)) },
        };
        Act::Send(self.rest(), SIGTERM)
    }

    fn tick(&mut self, now_ms: u64) -> Act {
        if let Phase::Ending { kill_at_ms } = self.phase
            && now_ms >= kill_at_ms
        {
            self.phase = Phase::Done;
            return Act::Send(self.rest(), SIGKILL);
        }
        if self.term_at_ms.is_some_and(|at| now_ms >= at) {
            self.term_at_ms = None;
            return match self.options.answers.to(SIGTERM) {
                Answer::Forward(other) => Act::Send(self.target(), i32::from(other)),
                Answer::Drop | Answer::End(_) => Act::Nothing,
            };
        }
        Act::Nothing
    }

    /// Whom a forwarded signal reaches now: a main child that is gone is never named again.
    fn target(&self) -> Target {
        match (self.options.scope, self.main) {
            (Scope::Child, Some(main)) if self.code.is_none() => Target::Process(main),
            (Scope::Group, Some(main)) => Target::Group(main),
            _ => self.rest(),
        }
    }

    /// All whom init answers for.
    fn rest(&self) -> Target {
        match self.main {
            _ if self.first => Target::All,
            Some(main) => Target::Group(main),
            None => Target::Nobody,
        }
    }
}
