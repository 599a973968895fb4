//! The records that cross the socket between host and child: fixed sizes, no text.

/// Bytes of a record from the child.
pub const REPORT_SIZE: usize = 8;

/// What the child tells the host. The end of the socket without a failure means that the command was executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// The step of this index failed with this errno; the child is gone.
    Failed {
        /// Index into the child's steps.
        step: u16,
        /// The kernel's errno, positive.
        errno: i32,
    },
    /// The master of the pseudo-terminal comes with this record.
    Terminal,
    /// The child has come to where it waits for the engine: for its programs, or for the start.
    Waiting,
    /// The filter is in force, and the descriptor of its listener comes with this record.
    Listener,
    /// The reaper of a command that enters a running container exists, and its pidfd comes with this record.
    Inside,
    /// A command that entered a running container exists, and its pidfd comes with this record.
    Started,
    /// That command has ended with this exit code.
    Exited {
        /// Its exit status; 128 and the signal's number when a signal killed it.
        code: u8,
        /// Whether it left nobody behind, so that its reaper ends too instead of staying for them.
        last: bool,
    },
}

impl Report {
    const FAILED: u16 = 1;
    const TERMINAL: u16 = 2;
    const WAITING: u16 = 3;
    const INSIDE: u16 = 4;
    const STARTED: u16 = 5;
    const EXITED: u16 = 6;
    const LISTENER: u16 = 7;

    /// As bytes, in the machine's own order: both ends are the same program.
    #[must_use]
    pub fn encode(self) -> [u8; REPORT_SIZE] {
        let (kind, step, errno) = match self {
            Self::Failed { step, errno } => (Self::FAILED, step, errno),
            Self::Terminal => (Self::TERMINAL, 0, 0),
            Self::Waiting => (Self::WAITING, 0, 0),
            Self::Listener => (Self::LISTENER, 0, 0),
            Self::Inside => (Self::INSIDE, 0, 0),
            Self::Started => (Self::STARTED, 0, 0),
            Self::Exited { code, last } => (Self::EXITED, u16::from_ne_bytes([code, u8::from(last)]), 0),
        };
        let ([k0, k1], [s0, s1], [e0, e1, e2, e3]) =
            (kind.to_ne_bytes(), step.to_ne_bytes(), errno.to_ne_bytes());
        [k0, k1, s0, s1, e0, e1, e2, e3]
    }

    /// From bytes; `None` for anything that [`Self::encode`] does not make.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [k0, k1, s0, s1, e0, e1, e2, e3] = *<&[u8; REPORT_SIZE]>::try_from(bytes).ok()?;
        let (number, errno) = (u16::from_ne_bytes([s0, s1]), i32::from_ne_bytes([e0, e1, e2, e3]));
        match u16::from_ne_bytes([k0, k1]) {
            Self::FAILED if errno > 0 => Some(Self::Failed { step: number, errno }),
            Self::TERMINAL => Some(Self::Terminal),
            Self::WAITING => Some(Self::Waiting),
            Self::LISTENER => Some(Self::Listener),
            Self::INSIDE => Some(Self::Inside),
            Self::STARTED => Some(Self::Started),
            Self::EXITED if s1 <= 1 => Some(Self::Exited { code: s0, last: s1 == 1 }),
            _ => None,
        }
    }
}

/// The one byte with which the host releases a waiting child.
pub const RELEASE: u8 = b'g';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_socket() {
        let exited = [true, false].map(|last| Report::Exited { code: 255, last });
        let entered = [Report::Inside, Report::Started].into_iter().chain(exited);
        let failed = Report::Failed { step: 319, errno: 2 };
        let others = [failed, Report::Terminal, Report::Waiting, Report::Listener];
        for report in others.into_iter().chain(entered) {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        assert_eq!(Report::decode(&[0; 8]), None);
        assert_eq!(Report::decode(&[1; 7]), None);
        assert_eq!(Report::decode(&[6, 0, 0, 2, 0, 0, 0, 0]), None);
        assert_eq!(Report::decode(&Report::Failed { step: 1, errno: 0 }.encode()), None);
    }
}
