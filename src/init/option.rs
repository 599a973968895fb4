//! What an init was asked to do, as plain data.

use crate::sys::signal::LAST;

/// Whom a forwarded signal reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// The main child alone.
    #[default]
    Child,
    /// The main child's process group.
    Group,
    /// Every process of the pid namespace. Only PID 1 may be asked for it: anyone else would reach the whole
    /// machine.
    All,
}

/// What becomes of the other processes when the main child has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Orphan {
    /// They are left as they are; when init is PID 1 the kernel then kills them with its namespace.
    #[default]
    Leave,
    /// TERM, up to the grace to obey it, then KILL: to the whole namespace when init is PID 1, to the main child's
    /// process group otherwise.
    End,
    /// Init goes on until its last child has ended: for a main program that puts itself into the background.
    Wait,
}

/// What the main child is made the head of before it becomes the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lead {
    /// A process group of its own, and the foreground of the terminal when init was in the foreground.
    #[default]
    Group,
    /// A session of its own, without a controlling terminal.
    Session,
}

/// How a machine ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Power off.
    PowerOff,
    /// Start again.
    Reboot,
    /// Stop, with the power on.
    Halt,
}

/// What init does about one signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Sends this signal on.
    Forward(u8),
    /// Nothing.
    Drop,
    /// Ends everything, and then the machine in this way.
    End(End),
}

/// The answer to each signal, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answers([Answer; LAST as usize]);

impl Answers {
    /// Every signal is sent on as it came.
    pub const FORWARD: Self = {
        let mut answers = Self::DROP;
        let mut index = 0_u8;
        let mut rest: &mut [Answer] = &mut answers.0;
        while let [first, others @ ..] = rest {
            index = u8::wrapping_add(index, 1);
            *first = Answer::Forward(index);
            rest = others;
        }
        answers
    };

    /// No signal does anything.
    pub const DROP: Self = Self([Answer::Drop; LAST as usize]);

    /// These answers with another one for `signal`.
    ///
    /// # Errors
    /// None when `signal`, or the one to forward, is not 1 to 64.
    #[must_use]
    pub fn with(mut self, signal: i32, answer: Answer) -> Option<Self> {
        if let Answer::Forward(to) = answer
            && !(1..=LAST).contains(&i32::from(to))
        {
            return None;
        }
        *self.0.get_mut(Self::index(signal)?)? = answer;
        Some(self)
    }

    /// The answer to `signal`.
    #[must_use]
    pub fn to(&self, signal: i32) -> Answer {
        Self::index(signal).and_then(|index| self.0.get(index)).copied().unwrap_or(Answer::Drop)
    }

    fn index(signal: i32) -> Option<usize> {
        usize::try_from(signal).ok()?.checked_sub(1)
    }
}

/// Exit codes that are reported as another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remap([u8; 256]);

impl Remap {
    /// Every code is reported as it is.
    pub const NONE: Self = {
        let mut codes = [0; 256];
        let mut code = 0_u8;
        let mut rest: &mut [u8] = &mut codes;
        while let [first, others @ ..] = rest {
            *first = code;
            code = code.wrapping_add(1);
            rest = others;
        }
        Self(codes)
    };

    /// This table with `from` reported as `to`.
    #[must_use]
    pub fn with(mut self, from: u8, to: u8) -> Self {
        if let Some(slot) = self.0.get_mut(usize::from(from)) {
            *slot = to;
        }
        self
    }

    /// What `code` is reported as.
    #[must_use]
    pub fn of(&self, code: u8) -> u8 {
        self.0.get(usize::from(code)).copied().unwrap_or(code)
    }
}

/// Everything an init can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whom forwarded signals reach.
    pub scope: Scope,
    /// What becomes of the others at the end.
    pub orphan: Orphan,
    /// What is done about each signal.
    pub answers: Answers,
    /// Exit codes reported as others.
    pub remap: Remap,
    /// How long the others may take to obey TERM, in milliseconds.
    pub grace_ms: u32,
    /// How long the first TERM is held back, in milliseconds; a second one cuts the wait short.
    pub delay_ms: u32,
    /// Adopts the orphans of descendants when init is not PID 1 (`PR_SET_CHILD_SUBREAPER`).
    pub subreaper: bool,
    /// The signal init behaves as if it had received when its parent ends.
    pub parent_death: Option<u8>,
    /// Services run beside the main child or without one; without one, TERM and INT ask them to end before init does.
    pub serves: bool,
    /// Says each orphan reaped.
    pub verbose: bool,
    /// What the main child leads.
    pub lead: Lead,
    /// Init is PID 1 of a machine: kernel threads live in its pid namespace, so "nobody is left" means that it has
    /// no child left.
    pub machine: bool,
    /// Descriptors from 3 on are closed in init, its working directory becomes `/`, and the program's code leaves its
    /// page tables before each long sleep. For a process that has nothing else to do.
    pub detach: bool,
}

impl Options {
    /// A transparent init: all signals to the main child, its exit code, nothing else.
    pub const PLAIN: Self = Self {
        scope: Scope::Child,
        orphan: Orphan::Leave,
        answers: Answers::FORWARD,
        remap: Remap::NONE,
        grace_ms: 0,
        delay_ms: 0,
        subreaper: false,
        parent_death: None,
        serves: false,
        verbose: false,
        lead: Lead::Group,
        machine: false,
        detach: true,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_forwarded_as_they_came_unless_told_otherwise() {
        for signal in 1..=LAST {
            assert_eq!(Answers::FORWARD.to(signal), Answer::Forward(signal as u8));
        }
        assert_eq!(Answers::FORWARD.to(0), Answer::Drop);
        assert_eq!(Answers::FORWARD.to(65), Answer::Drop);
        let mapped = Answers::FORWARD.with(15, Answer::Forward(3)).unwrap();
        assert_eq!(mapped.to(15), Answer::Forward(3));
        assert_eq!(mapped.to(14), Answer::Forward(14));
    }

    #[test]
    fn impossible_signals_are_refused() {
        assert!(Answers::FORWARD.with(0, Answer::Drop).is_none());
        assert!(Answers::FORWARD.with(65, Answer::Drop).is_none());
        assert!(Answers::FORWARD.with(15, Answer::Forward(0)).is_none());
        assert!(Answers::FORWARD.with(15, Answer::Forward(65)).is_none());
    }

    #[test]
    fn codes_are_passed_through_unless_remapped() {
        assert!((0..=255).all(|code| Remap::NONE.of(code) == code));
        let remap = Remap::NONE.with(143, 0);
        assert_eq!((remap.of(143), remap.of(144)), (0, 144));
    }
}
