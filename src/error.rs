//! The one error of the library: what was being done, to what, and what the kernel said.
//!
//! Duty: carry a failure as plain, fixed-size data that needs no allocation, so that it can be made after
//! `clone` and cross a pipe. It does not print: sentences are made in `cli`.

use rustix::io::Errno;

/// Longest subject kept; longer names are cut in the middle, since this text is only ever shown.
const TEXT_CAPACITY: usize = 62;

/// A short piece of text for an error's subject, for display only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    len: u8,
    bytes: [u8; TEXT_CAPACITY],
}

impl Text {
    /// Copies `name`; when it is longer than 62 bytes its head and tail are kept around `...`.
    #[must_use]
    pub fn new(name: &[u8]) -> Self {
        const GAP: &[u8] = b"...";
        let mut bytes = [0; TEXT_CAPACITY];
        if let Some(whole) = bytes.get_mut(..name.len()) {
            whole.copy_from_slice(name);
            return Self { len: name.len().min(TEXT_CAPACITY) as u8, bytes };
        }
        let head = TEXT_CAPACITY / 2;
        let tail = TEXT_CAPACITY - head - GAP.len();
        let kept = name.iter().take(head).chain(GAP).chain(name.iter().skip(name.len().saturating_sub(tail)));
        for (to, from) in bytes.iter_mut().zip(kept) {
            *to = *from;
        }
        Self { len: TEXT_CAPACITY as u8, bytes }
    }

    /// The bytes kept. They need not be UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

impl core::fmt::Debug for Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&core::str::from_utf8(self.as_bytes()).unwrap_or("?"), f)
    }
}

/// To what it was being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The stage says it all.
    Nothing,
    /// A name known when Pipkin was built, such as a cgroup file.
    Name(&'static str),
    /// A name or path from outside, shortened for display.
    Text(Text),
    /// The step of this index in the plan's child list; the host turns it into its sentence.
    Step(u16),
}

/// A failed action. `Display` is deliberately missing: only `cli` makes sentences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
    /// What was being done, as a verb phrase: `"create the cgroup"`.
    pub stage: &'static str,
    /// To what it was being done.
    pub subject: Subject,
    /// What the kernel said; [`Errno`] values of our own making are documented where they are made.
    pub errno: Errno,
}

impl Error {
    /// A failure whose stage names everything there is to name.
    #[must_use]
    pub const fn new(stage: &'static str, errno: Errno) -> Self {
        Self { stage, subject: Subject::Nothing, errno }
    }

    /// A failure on something whose name is known at build time.
    #[must_use]
    pub const fn named(stage: &'static str, name: &'static str, errno: Errno) -> Self {
        Self { stage, subject: Subject::Name(name), errno }
    }

    /// A failure on a path or name from outside.
    #[must_use]
    pub fn on(stage: &'static str, subject: &[u8], errno: Errno) -> Self {
        Self { stage, subject: Subject::Text(Text::new(subject)), errno }
    }
}

/// Result of the library's acting rooms.
pub type Result<T> = core::result::Result<T, Error>;

/// Adds the stage and the subject to a bare errno at the call that failed.
pub trait Stage<T> {
    /// Names what was being done.
    ///
    /// # Errors
    /// The errno of `self`, under that name.
    fn stage(self, stage: &'static str) -> Result<T>;
    /// Names what was being done and to what.
    ///
    /// # Errors
    /// The errno of `self`, under those names.
    fn stage_on(self, stage: &'static str, subject: &[u8]) -> Result<T>;
}

impl<T> Stage<T> for rustix::io::Result<T> {
    fn stage(self, stage: &'static str) -> Result<T> {
        self.map_err(|errno| Error::new(stage, errno))
    }

    fn stage_on(self, stage: &'static str, subject: &[u8]) -> Result<T> {
        self.map_err(|errno| Error::on(stage, subject, errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_whole() {
        assert_eq!(Text::new(b"/data").as_bytes(), b"/data");
        assert_eq!(Text::new(&[b'x'; 62]).as_bytes(), &[b'x'; 62]);
    }

    #[test]
    fn long_text_keeps_head_and_tail() {
        let mut long = [b'a'; 300];
        long[299] = b'z';
        let text = Text::new(&long);
        assert_eq!(text.as_bytes().len(), 62);
        assert!(text.as_bytes().starts_with(b"aaa"));
        assert!(text.as_bytes().ends_with(b"z"));
        assert!(text.as_bytes().windows(3).any(|w| w == b"..."));
    }
}
