//! After the machine went down: records come back from the copies beside the writable layers.
//!
//! The run directory is in memory and begins empty. The copy is `containers/ID/record` of the data directory, of every
//! container that is to stay when it ends; it is written through to the disk for those that were made `durable`. Whatever
//! has no copy was to go away, or was never there as a whole, and goes away now.
//!
//! The file `recovered` says that this was done; behind that, how far [`Store::reclaim_some`] has come.
//!
//! Danger: an empty run directory alone does not mean that nothing runs: a user's own goes when that user logs out. What
//! is not known is taken away only when the machine's boot id is another one than that of `boot`.

use super::{Container, Store, USERS, gone};
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
        if is_done(fs::metadata(&mark)) {
            return Ok(());
        }
        let folder = match fs::read_dir(self.data.join("containers")) {
            // Nothing was there before; whoever makes the first container comes by here.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            folder => folder?,
        };
        let ids = folder.filter_map(|entry| Id::new(entry.ok()?.file_name().as_encoded_bytes()));
        let ids: Vec<Id> = ids.collect();
        let done = self.recover_all(&mark, &ids);
        if ids.is_empty() { Ok(()) } else { done }
    }

    fn recover_all(&self, mark: &Path, ids: &[Id]) -> io::Result<()> {
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
        ids.iter().try_for_each(|id| self.recover_one(*id, same))?;
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
        let brought_back = container.bring_back(same);
        if brought_back.is_err() {
            // A lock alone would say that somebody is making it.
            gone(fs::remove_file(self.lock_path(&id)))?;
        }
        brought_back
    }
}

fn is_done(mark: io::Result<fs::Metadata>) -> bool {
    mark.is_ok_and(|mark| mark.len() > 0)
}

impl Container {
    /// Writes down what is known of it, as far as that is still right.
    fn bring_back(&mut self, same: bool) -> io::Result<()> {
        let record = &mut self.record;
        if !same && record.status != Status::Exited {
            (record.status, record.exit, record.pid, record.supervisor) = (Status::Exited, None, 0, 0);
            "the machine went down while it ran".clone_into(&mut record.error);
            record.others.retain(|key| !key.starts_with("network."));
        }
        if !record.name.is_empty() {
            let name = self.store.name_path(&record.name);
            match symlink(self.id.as_str(), &name) {
                // Of two that were renamed at the last moment one has the name.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if fs::read_link(name)? != Path::new(self.id.as_str()) {
                        record.name.clear();
                    }
                }
                made => made?,
            }
        }
        let names: Vec<String> =
            self.record.all(USERS).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        self.store.hold_users(&self.id, &names)?;
        replace(&self.store.record_path(&self.id), &self.record.encode(), false)
    }

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
