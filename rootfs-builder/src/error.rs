//! The one error of this crate: what was being done, to what, and why it failed.

use std::fmt::Display;
use std::io;

/// Result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// `unpack etc/passwd: path leaves the root`: an action, its subject, the reason.
#[derive(Debug, thiserror::Error)]
#[error("{action} {subject}: {reason}")]
pub struct Error {
    /// What was being done: a verb phrase, the same for every subject.
    pub action: &'static str,
    /// What it was done to: a path, an entry's name, an address.
    pub subject: String,
    /// Why it failed.
    #[source]
    pub reason: Reason,
}

/// Why something failed, by culprit.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The operating system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The input breaks a rule: a hostile or damaged archive, a bad name.
    #[error("{0}")]
    Refused(String),
    /// The bytes are not the ones that were asked for.
    #[error("SHA-256 is {actual}, expected {expected}")]
    Digest {
        /// Lower-case hexadecimal digest that was asked for.
        expected: String,
        /// Lower-case hexadecimal digest of the bytes at hand.
        actual: String,
    },
    /// The other end of the network, or the way to it.
    #[error("{0}")]
    Network(String),
    /// Nothing that fits exists where it was looked for.
    #[error("{0}")]
    Missing(String),
}

impl Reason {
    /// What stands in the way of a name that its parents do not lead to.
    pub(crate) fn on_the_way() -> Reason {
        Reason::Refused("its path leads through a symbolic link or a file".into())
    }
}

impl From<rustix::io::Errno> for Reason {
    fn from(errno: rustix::io::Errno) -> Self {
        Reason::Io(errno.into())
    }
}

impl Error {
    /// An error from its three parts.
    pub fn new(action: &'static str, subject: impl Display, reason: impl Into<Reason>) -> Self {
        Error { action, subject: subject.to_string(), reason: reason.into() }
    }

    /// The same, of a subject that belongs to `place`.
    pub fn within(self, place: impl Display) -> Error {
        Error { subject: format!("{} of {place}", self.subject), ..self }
    }

    /// The input breaks a rule.
    pub fn refused(action: &'static str, subject: impl Display, why: impl Into<String>) -> Self {
        Error::new(action, subject, Reason::Refused(why.into()))
    }
}

/// Puts action and subject to the failure of one call.
pub(crate) trait Doing<T> {
    /// `subject` is only called on failure.
    fn doing<S: Display>(self, action: &'static str, subject: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Reason>> Doing<T> for std::result::Result<T, E> {
    fn doing<S: Display>(self, action: &'static str, subject: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|reason| Error::new(action, subject(), reason))
    }
}
