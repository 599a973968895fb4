//! After the machine went down: records come back from the copies beside the writable layers.
//!
//! The run directory is in memory and begins empty. The copy is `containers/ID/record` of the data directory, of every
//! container that is to stay when it ends; it is written through to the disk for those that were made `durable`. Whatever
//! has no copy was to go away, or was never there as a whole, and goes away now.
//!
//! Danger: an empty run directory alone does not mean that nothing runs: a user's own goes when that user logs out. What
//! is not known is taken away only when the machine's boot id is another one than that of `boot`.

use super::{Container, Store};
use crate::store::record::{Record, Status};
use pipkin::spec::Id;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

impl Store {
    fn copy_path(&self, id: &Id) -> PathBuf {
        self.layer(id).join("record")
    }

    /// Brings back what is known of containers, once after each start of the machine.
    ///
    /// # Errors
    /// Those of the run directory. What the data directory refuses is looked at again the next time.
    pub(crate) fn recover(&self) -> io::Result<()> {
        let mark = self.run.join("recovered");
        let is_done = |known: io::Result<fs::Metadata>| known.is_ok_and(|known| known.len() > 0);
        if is_done(fs::metadata(&mark)) {
            return Ok(());
        }
        let folder = self.data.join("containers");
        if !folder.exists() {
            // Nothing was there before; whoever makes the first container comes by here.
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.run)?;
        let mut mark = OpenOptions::new().append(true).create(true).mode(0o600).open(mark)?;
        mark.lock()?;
        if is_done(mark.metadata()) {
            return Ok(());
        }
        self.make_places()?;
        let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let known = self.data.join("boot");
        let same = fs::read(&known).is_ok_and(|known| known == boot);
        for entry in fs::read_dir(folder)? {
            if let Some(id) = Id::new(entry?.file_name().as_encoded_bytes()) {
                self.recover_one(id, same)?;
            }
        }
        fs::write(known, &boot).unwrap_or(());
        mark.write_all(&boot)
    }

    fn recover_one(&self, id: Id, same: bool) -> io::Result<()> {
        let lock = match self.take_new_lock(&id) {
            // Somebody is making it just now.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
            lock => lock?,
        };
        let copy = fs::read(self.copy_path(&id)).ok().and_then(|text| Record::decode(&text));
        let mut container = Container { store: self.clone(), id, record: Record::default(), lock };
        let Some(record) = copy else {
            if same {
                return fs::remove_file(self.lock_path(&id));
            }
            return container.remove().or(Ok(()));
        };
        container.record = record;
        let record = &mut container.record;
        if !same && record.status != Status::Exited {
            (record.status, record.exit, record.pid, record.supervisor) = (Status::Exited, None, 0, 0);
            "the machine went down while it ran".clone_into(&mut record.error);
            record.others.retain(|(key, _)| !key.starts_with("network."));
        }
        if !record.name.is_empty() {
            match symlink(id.as_str(), self.name_path(&record.name)) {
                // Of two that were renamed at the last moment one has the name.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => record.name.clear(),
                made => made?,
            }
        }
        let text = container.record.encode();
        replace(&self.record_path(&id), &text, false)
    }
}

impl Container {
    /// Writes the copy that outlasts the machine. For a container that is not durable as well as it can be.
    pub(super) fn save_copy(&mut self, text: &[u8]) -> io::Result<()> {
        if self.record.remove || self.record.status == Status::Creating {
            return Ok(());
        }
        let durable = self.record.get("durable").is_some();
        let written = replace(&self.store.copy_path(&self.id), text, durable);
        if durable { written } else { written.or(Ok(())) }
    }
}

/// Replaces the file `path` by one of `text`, whole; if so wished, it is on the disk after this.
pub(super) fn replace(path: &Path, text: &[u8], synced: bool) -> io::Result<()> {
    let temporary = path.with_added_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text)?;
    if synced {
        file.sync_all()?;
    }
    fs::rename(&temporary, path)?;
    // The entry in its directory, and that of its directory.
    for above in path.ancestors().skip(1).take(if synced { 2 } else { 0 }) {
        File::open(above)?.sync_all()?;
    }
    Ok(())
}
