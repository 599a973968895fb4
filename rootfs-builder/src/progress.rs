//! A progress bar on standard error, when that is a terminal.

use std::io::{Read, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shown while it lives.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of work of so many bytes.
    pub(crate) fn of_bytes(doing: &'static str, bytes: u64) -> Progress {
        let bar = ProgressBar::new(bytes).with_message(doing);
        match ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {eta}") {
            Ok(style) => bar.set_style(style.progress_chars("=> ")),
            Err(_) => bar.set_style(ProgressStyle::default_bar()),
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(bar)
    }

    /// Of work whose amount is not known.
    pub(crate) fn of_unknown(doing: &'static str) -> Progress {
        let bar = ProgressBar::new_spinner().with_message(doing);
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(bar)
    }

    /// So many bytes are done, of so many if that is known.
    pub(crate) fn set(&self, done: u64, total: Option<u64>) {
        if let Some(total) = total {
            self.0.set_length(total);
        }
        self.0.set_position(done);
    }

    /// Counts what is read.
    pub(crate) fn read(&self, input: impl Read) -> impl Read {
        self.0.wrap_read(input)
    }

    /// Counts what is written.
    pub(crate) fn write(&self, output: impl Write) -> impl Write {
        self.0.wrap_write(output)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
