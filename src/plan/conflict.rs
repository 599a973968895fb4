//! Why a container cannot be had as it was asked for.

use crate::error::Text;

/// A request that cannot be met, found before anything was touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// What cannot be done, as a verb phrase: `"limit memory"`.
    pub what: &'static str,
    /// To what, when one of several is meant.
    pub subject: Option<Text>,
    /// Why not.
    pub why: &'static str,
    /// What the user can do about it; empty when nothing.
    pub remedy: &'static str,
}

impl Conflict {
    /// A conflict that needs no subject.
    #[must_use]
    pub const fn new(what: &'static str, why: &'static str, remedy: &'static str) -> Self {
        Self { what, subject: None, why, remedy }
    }

    /// The same conflict about `name`.
    #[must_use]
    pub fn about(self, name: &[u8]) -> Self {
        Self { subject: Some(Text::new(name)), ..self }
    }

    /// Too many of something for the plan's fixed lists.
    #[must_use]
    pub const fn full(what: &'static str) -> Self {
        Self::new(what, "there are more than a plan can hold", "ask for fewer")
    }
}
