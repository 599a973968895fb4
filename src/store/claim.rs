//! Ranges of ids of user namespaces: each belongs to one container at a time.
//!
//! A range is held by a link in `users`, called by its kind and first id; its target names the container and the process
//! that makes it. It is given back when the container is taken away: until then files of its writable layer are of
//! these ids. A link counts as none when its container is not there and whoever was to make that is gone, so what a
//! killed Pipkin held is not lost. All is done under a lock that is held for a moment only.

use super::container::{Store, USERS, from_errno, gone};
use super::process;
use pipkin::spec::Id;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::PathBuf;

/// Ranges that were claimed for a container to be; given back when dropped, unless that is there by then.
#[derive(Debug)]
pub(crate) struct Claim {
    store: Store,
    id: Id,
    /// What is held, by kind and first id: `u524288`.
    pub(crate) names: Vec<String>,
}

impl Claim {
    /// None yet, for container `id`.
    pub(crate) fn new(store: &Store, id: Id) -> Self {
        Self { store: store.clone(), id, names: Vec::new() }
    }

    /// For each of `kinds` (users and groups, by what their names begin with) the range that the container holds
    /// already, or the first among its candidates that nobody holds, by their first ids; `None` when one has none.
    ///
    /// Both are claimed under one lock: containers that begin at once would cross each other's otherwise.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn first_free(
        &mut self,
        kinds: [(&str, &mut dyn Iterator<Item = u32>); 2],
    ) -> io::Result<Option<[u32; 2]>> {
        if self.names.is_empty() {
            let record = self.store.read(&self.id)?.unwrap_or_default();
            self.names = record.all(USERS).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        }
        let own = std::process::id();
        let start = process::start_of(own.cast_signed()).unwrap_or(0);
        let target = [self.id.as_str(), ":", &own.to_string(), ":", &start.to_string()].concat();
        let _lock = self.store.lock_users()?;
        let mut firsts = [0; 2];
        for ((kind, candidates), first) in kinds.into_iter().zip(&mut firsts) {
            let held = self.names.iter().find_map(|name| name.strip_prefix(kind)?.parse().ok());
            let free = match held {
                Some(held) => Some(held),
                None => self.claim(kind, candidates, &target)?,
            };
            let Some(free) = free else { return Ok(None) };
            *first = free;
        }
        Ok(Some(firsts))
    }

    /// Makes the link of the first candidate that nobody holds. The lock is held.
    fn claim(
        &mut self,
        kind: &str,
        candidates: &mut dyn Iterator<Item = u32>,
        target: &str,
    ) -> io::Result<Option<u32>> {
        for first in candidates {
            let name = [kind, &first.to_string()].concat();
            let path = self.store.users().join(&name);
            if let Ok(holder) = fs::read_link(&path) {
                if self.store.is_held(holder.as_os_str()) {
                    continue;
                }
                gone(fs::remove_file(&path))?;
            }
            symlink(target, path)?;
            self.names.push(name);
            return Ok(Some(first));
        }
        Ok(None)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.names.is_empty() && !self.store.lock_path(&self.id).exists() {
            // What stays is found to be nobody's by whoever looks at it next.
            self.store.release_users(&self.id, &mut self.names.iter().map(String::as_str)).unwrap_or(());
        }
    }
}

impl Store {
    fn users(&self) -> PathBuf {
        self.run.join("users")
    }

    fn lock_users(&self) -> io::Result<OwnedFd> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.users())?;
        let path = self.users();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(path.as_os_str().as_bytes(), flags, Mode::empty()).map_err(from_errno)?;
        flock(&directory, FlockOperation::LockExclusive).map_err(from_errno)?;
        Ok(directory)
    }

    /// Whether the container that the target of a link names is there, or is being made.
    fn is_held(&self, target: &OsStr) -> bool {
        let mut parts = target.as_bytes().split(|byte| *byte == b':');
        let Some(id) = parts.next().and_then(Id::new) else { return false };
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u64>().ok();
        let maker = number().and_then(|pid| Some((i32::try_from(pid).ok()?, number()?)));
        self.lock_path(&id).exists() || maker.is_some_and(|(pid, start)| process::open(pid, start).is_some())
    }

    /// Has container `id` hold ranges by these names again; one that another holds stays that one's.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn hold_users(&self, id: &Id, names: &[String]) -> io::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let _lock = self.lock_users()?;
        for name in names.iter().filter(|name| !name.contains('/')) {
            match symlink(id.as_str(), self.users().join(name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        Ok(())
    }

    /// Gives back those of `names` that container `id` holds.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn release_users(&self, id: &Id, names: &mut dyn Iterator<Item = &str>) -> io::Result<()> {
        let mut names = names.peekable();
        if names.peek().is_none() {
            return Ok(());
        }
        let _lock = self.lock_users()?;
        for name in names.filter(|name| !name.contains('/')) {
            let path = self.users().join(name);
            let holder = fs::read_link(&path).unwrap_or_default();
            if holder.as_os_str().as_bytes().split(|byte| *byte == b':').next()
                == Some(id.as_str().as_bytes())
            {
                gone(fs::remove_file(path))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn store(name: &str) -> (Store, PathBuf) {
        let base = std::env::temp_dir().join([name, "-", &std::process::id().to_string()].concat());
        fs::create_dir_all(base.join("run/containers")).unwrap();
        (Store::below(&base), base)
    }

    fn held(base: &Path) -> Vec<String> {
        let entries = fs::read_dir(base.join("run/users")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_range_has_one_holder_at_a_time() {
        let (store, base) = store("pipkin-claim");
        let first = |claim: &mut Claim| {
            let (mut users, mut groups) = ([10, 20, 30].into_iter(), [1, 2].into_iter());
            claim.first_free([("u", &mut users), ("g", &mut groups)]).unwrap()
        };
        let mut one = Claim::new(&store, Id::from_random(1));
        let mut two = Claim::new(&store, Id::from_random(2));
        let mut three = Claim::new(&store, Id::from_random(3));
        assert_eq!(
            [first(&mut one), first(&mut two), first(&mut three)],
            [Some([10, 1]), Some([20, 2]), None]
        );
        assert_eq!(first(&mut two), Some([20, 2]));
        // A user's range without a group's is given back like others.
        assert_eq!(held(&base), ["g1", "g2", "u10", "u20", "u30"]);
        drop((one, three));
        assert_eq!(held(&base), ["g2", "u20"]);
        // One whose container is there keeps its ranges until that is taken away.
        fs::write(store.lock_path(&Id::from_random(2)), "").unwrap();
        drop(two);
        assert_eq!(first(&mut Claim::new(&store, Id::from_random(4))), Some([10, 1]));
        assert_eq!(held(&base), ["g2", "u20"]);
        store.release_users(&Id::from_random(5), &mut ["u20"].into_iter()).unwrap();
        assert_eq!(held(&base), ["g2", "u20"]);
        store.release_users(&Id::from_random(2), &mut ["u20", "u10", "g2"].into_iter()).unwrap();
        assert!(held(&base).is_empty());
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn those_that_begin_at_once_hold_equal_ranges() {
        let (store, base) = store("pipkin-at-once");
        let all = || (0..16).map(|number| number * 10);
        let claimed: Vec<[u32; 2]> = std::thread::scope(|scope| {
            let store = &store;
            let workers: Vec<_> = (0..16)
                .map(|number| {
                    scope.spawn(move || {
                        let mut claim = Claim::new(store, Id::from_random(number));
                        fs::write(store.lock_path(&Id::from_random(number)), "").unwrap();
                        claim.first_free([("u", &mut all()), ("g", &mut all())]).unwrap().unwrap()
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert!(claimed.iter().all(|[users, groups]| users == groups), "{claimed:?}");
        assert_eq!(held(&base).len(), 32);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn what_a_killed_process_held_is_free() {
        let (store, base) = store("pipkin-dead");
        fs::create_dir(base.join("run/users")).unwrap();
        let dead = [Id::from_random(9).as_str(), ":1:7"].concat();
        for target in [dead.as_str(), "x", "0000000000000009:0:0"] {
            symlink(target, base.join("run/users/u10")).unwrap();
            let mut claim = Claim::new(&store, Id::from_random(1));
            let (mut users, mut groups) = ([10, 20].into_iter(), [1].into_iter());
            let firsts = claim.first_free([("u", &mut users), ("g", &mut groups)]).unwrap();
            assert_eq!(firsts, Some([10, 1]), "{target}");
        }
        fs::remove_dir_all(base).unwrap();
    }
}
