//! Containers whose supervisor died: what is left of them is found and taken away.

use super::{Container, Ending, Store, from_errno, id_of_lock};
use crate::store::process;
use crate::store::record::Status;
use pipkin::spec::Id;
use rustix::fd::OwnedFd;
use rustix::fs::{RawDir, SeekFrom};
use std::fs::OpenOptions;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Room for one look at part of the directory of the records: some sixteen containers.
const LOOK: usize = 2048;
/// How many containers are enough for such a look.
const FEW: usize = 12;
/// How long a container that has ended may be held by another command, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);
/// Where in the file `recovered`, behind the boot id, the last look's end is.
const CAME_TO_OFFSET: u64 = 64;

impl Store {
    /// Looks at all containers for ones whose supervisor died, ends what is left of each by `end`, and takes it away, or
    /// marks it as exited when it was to stay.
    ///
    /// # Errors
    /// The first that `end` or the file system gave; the others are still looked at.
    pub(crate) fn reclaim(&self, end: Ending) -> io::Result<()> {
        self.reclaim_each(&self.ids()?, end)
    }

    /// The same for some: those that the directory begins with, on tmpfs the newest, and some from where the last call
    /// came to. It takes as long however many there are, and after enough calls all have been looked at.
    ///
    /// # Errors
    /// As [`Self::reclaim`].
    pub(crate) fn reclaim_some(&self, end: Ending) -> io::Result<()> {
        let Some(directory) = self.open_records()? else { return Ok(()) };
        let (mut ids, mut came_to) = look(&directory, 0)?;
        // Without a mark, as before the first container, there are not many.
        let mark = || OpenOptions::new().read(true).write(true).open(self.run.join("recovered"));
        if came_to > 0
            && let Ok(mark) = mark()
        {
            let mut former = [0; 8];
            let read = mark.read_at(&mut former, CAME_TO_OFFSET).is_ok_and(|read| read == former.len());
            let former = if read { u64::from_ne_bytes(former) } else { 0 };
            let more;
            (more, came_to) = look(&directory, if former == 0 { came_to } else { former })?;
            ids.extend(more);
            mark.write_all_at(&came_to.to_ne_bytes(), CAME_TO_OFFSET)?;
        }
        self.reclaim_each(&ids, end)
    }

    fn reclaim_each(&self, ids: &[Id], end: Ending) -> io::Result<()> {
        let mut outcome = Ok(());
        for id in ids {
            let done = self.reclaim_one(id, end);
            outcome = outcome.and(done);
        }
        outcome
    }

    /// Takes over a container that has ended. Its supervisor has it until it is gone itself, and another command while it
    /// looks: both are waited for. `None` when it does not end, runs again, exists no more, or is held for too long.
    ///
    /// # Errors
    /// Those of reading and locking.
    pub(crate) fn adopt_ended(&self, id: &Id) -> io::Result<Option<Container>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(container) = self.adopt(id)? {
                return Ok((container.record.status == Status::Exited).then_some(container));
            }
            let ended = self.read(id)?.is_some_and(|record| record.status == Status::Exited);
            if !ended || Instant::now() > deadline {
                return Ok(None);
            }
            sleep(PAUSE);
        }
    }

    /// Looks at one container: if its supervisor died, ends what is left by `end`, and takes it away or marks it as
    /// exited. One that was detached and still runs is left running.
    ///
    /// # Errors
    /// The first that `end` or the file system gave.
    pub(crate) fn reclaim_one(&self, id: &Id, end: Ending) -> io::Result<()> {
        self.reclaim_any(id, end).map(drop)
    }

    /// The same, and whether its supervisor was found dead.
    pub(super) fn reclaim_any(&self, id: &Id, end: Ending) -> io::Result<bool> {
        let Some(mut container) = self.adopt(id)? else { return Ok(false) };
        let record = &mut container.record;
        let kept = !record.remove && record.status != Status::Creating;
        let runs = record.status.is_alive() && process::open(record.pid, record.pid_start).is_some();
        if (kept && record.status == Status::Exited) || (record.detached && runs) {
            return Ok(true);
        }
        end(id, record)?;
        if !kept {
            return container.remove().map(|()| true);
        }
        if record.status.is_alive() {
            record.exit = None;
        }
        record.status = Status::Exited;
        "its supervisor was killed".clone_into(&mut record.error);
        container.save().map(|()| true)
    }
}

/// The ids of some containers from `from` on, a place in the directory, and the place behind them; 0 at its end.
fn look(directory: &OwnedFd, from: u64) -> io::Result<(Vec<Id>, u64)> {
    rustix::fs::seek(directory, SeekFrom::Start(from)).map_err(from_errno)?;
    let mut buffer = [MaybeUninit::uninit(); LOOK];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut ids = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(from_errno)?;
        ids.extend(id_of_lock(entry.file_name().to_bytes()));
        let place = entry.next_entry_cookie();
        if ids.len() >= FEW && entries.is_buffer_empty() {
            return Ok((ids, place));
        }
    }
    Ok((ids, 0))
}
