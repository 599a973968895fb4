//! Lines of a kernel text file through one fixed buffer.

use rustix::fd::AsFd;
use rustix::io::{Result, read, retry_on_intr};

/// One line without its newline.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) text: &'a [u8],
    /// False when the line was longer than the buffer: `text` is then its beginning.
    pub(crate) whole: bool,
}

/// Hands out the lines that `source` gives, in pieces of any size, until it gives 0 bytes.
pub(crate) struct Lines<R, const N: usize> {
    source: R,
    buffer: [u8; N],
    start: usize,
    end: usize,
    ended: bool,
    skipping: bool,
}

/// The lines of `file` from its current offset on, with a buffer of `N` bytes.
pub(crate) fn of_file<Fd: AsFd, const N: usize>(
    file: Fd,
) -> Lines<impl FnMut(&mut [u8]) -> Result<usize>, N> {
    Lines::new(move |buffer: &mut [u8]| retry_on_intr(|| read(file.as_fd(), &mut *buffer)))
}

impl<R: FnMut(&mut [u8]) -> Result<usize>, const N: usize> Lines<R, N> {
    pub(crate) fn new(source: R) -> Self {
        const { assert!(N > 1, "no room for a line") };
        Self { source, buffer: [0; N], start: 0, end: 0, ended: false, skipping: false }
    }

    /// The next line. A last line without newline counts; the rest of a line too long is skipped.
    ///
    /// # Errors
    /// What `source` gives.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>> {
        loop {
            let from = self.start;
            let held = self.buffer.get(from..self.end).unwrap_or_default();
            if let Some(length) = held.iter().position(|byte| *byte == b'\n') {
                let to = from.saturating_add(length);
                self.start = to.saturating_add(1);
                if core::mem::take(&mut self.skipping) {
                    continue;
                }
                return Ok(self.buffer.get(from..to).map(|text| Line { text, whole: true }));
            }
            if self.skipping {
                self.start = self.end;
            }
            if self.ended {
                let to = core::mem::take(&mut self.end);
                let last = self.buffer.get(self.start..to).filter(|text| !text.is_empty());
                self.start = 0;
                return Ok(last.map(|text| Line { text, whole: true }));
            }
            if !self.skipping && from == 0 && self.end == N {
                self.skipping = true;
                return Ok(Some(Line { text: &self.buffer, whole: false }));
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let got = (self.source)(room)?;
        self.ended = got == 0;
        self.end = self.end.saturating_add(got).min(N);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The lines of `text` delivered in pieces of `step` bytes.
    fn lines<const N: usize>(text: &[u8], step: usize) -> Vec<(Vec<u8>, bool)> {
        let mut left = text;
        let mut lines = Lines::<_, N>::new(move |buffer: &mut [u8]| {
            let length = left.len().min(step).min(buffer.len());
            let (now, later) = left.split_at(length);
            buffer[..length].copy_from_slice(now);
            left = later;
            Ok(length)
        });
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push((line.text.to_vec(), line.whole));
        }
        assert_eq!(lines.next().unwrap(), None);
        all
    }

    #[test]
    fn a_line_too_long_is_cut_and_the_next_is_whole() {
        let expected = [(b"a".to_vec(), true), (b"01234567".to_vec(), false), (b"b".to_vec(), true)];
        assert_eq!(lines::<8>(b"a\n0123456789abcdefghij\nb\n", 3), expected);
        assert_eq!(lines::<8>(b"0123456789abcdefghij", 8), [(b"01234567".to_vec(), false)]);
        assert_eq!(lines::<8>(b"", 1), []);
        assert_eq!(lines::<8>(b"\n\nx", 9), [(Vec::new(), true), (Vec::new(), true), (b"x".to_vec(), true)]);
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text(text in "[ab\n]{0,60}", step in 1usize..20) {
            const N: usize = 9;
            let mut parts: Vec<&[u8]> = text.as_bytes().split(|byte| *byte == b'\n').collect();
            if parts.last().is_some_and(|last| last.is_empty()) {
                parts.pop();
            }
            let expected: Vec<_> = parts
                .into_iter()
                .map(|part| (part.len() < N, part))
                .map(|(whole, part)| (if whole { part } else { &part[..N] }.to_vec(), whole))
                .collect();
            prop_assert_eq!(lines::<N>(text.as_bytes(), step), expected);
        }
    }
}
