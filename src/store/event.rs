//! The file of events: lines appended by whoever has something to tell, so small that each is written whole.

use super::Store;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Size at which it is begun anew; one former file is kept.
const LARGEST: u64 = 1 << 20;

impl Store {
    /// The file.
    pub(crate) fn events_path(&self) -> PathBuf {
        self.run.join("events")
    }

    /// Adds `line`, which ends in a newline.
    ///
    /// # Errors
    /// Those of opening and writing.
    pub(crate) fn tell(&self, line: &[u8]) -> io::Result<()> {
        let path = self.events_path();
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        if file.metadata()?.len() > LARGEST {
            fs::rename(&path, path.with_extension("1"))?;
            file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        }
        file.write_all(line)
    }
}
