use super::*;

/// Another process that holds a container's lock until it is dropped.
struct Holder(rustix::process::Pid);

impl Holder {
    fn of(container: Container) -> Self {
        let path = container.store.lock_path(&container.id);
        drop(container);
        let lock = open_lock(&path, OFlags::empty()).unwrap();
        let (told, tell) = rustix::pipe::pipe().unwrap();
        match pipkin::sys::spawn::fork().unwrap() {
            pipkin::sys::spawn::Fork::Child => {
                // System calls alone: this is a copy of a process with threads.
                let locked = fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
                rustix::io::write(&tell, &[u8::from(locked)]).unwrap_or(0);
                rustix::event::pause();
                pipkin::sys::process::exit(0)
            }
            pipkin::sys::spawn::Fork::Parent(pid) => {
                let mut locked = [0];
                assert_eq!((rustix::io::read(&told, &mut locked), locked), (Ok(1), [1]));
                Self(pid)
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        pipkin::sys::signal::kill(self.0.as_raw_nonzero().get(), 9).unwrap();
        rustix::process::waitpid(Some(self.0), rustix::process::WaitOptions::empty()).unwrap();
    }
}

struct Temporary(Store);

impl Temporary {
    fn new(name: &str) -> Self {
        let base = std::env::temp_dir().join(format!("pipkin-store-{name}-{}", std::process::id()));
        Self(Store::below(&base))
    }

    fn is_empty(&self) -> bool {
        let count = |path: PathBuf| fs::read_dir(path).map_or(0, Iterator::count);
        count(self.0.run.join("containers")) == 0
            && count(self.0.run.join("names")) == 0
            && count(self.0.data.join("containers")) == 0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        fs::remove_dir_all(self.0.run.parent().unwrap()).unwrap();
    }
}

fn record(name: &str, status: Status, remove: bool) -> Record {
    Record {
        name: name.into(),
        image: "alpine".into(),
        command: "true".into(),
        status,
        created_ns: 1,
        remove,
        ..Record::default()
    }
}

#[test]
fn made_and_taken_away() {
    let t = Temporary::new("life");
    let id = Id::from_random(1);
    let container = t.0.create(id, record("web", Status::Creating, true)).unwrap();
    assert!(t.0.layer(&id).join("upper").is_dir());
    assert_eq!(t.0.find("web").unwrap(), id);
    assert_eq!(t.0.find("00000").unwrap(), id);
    assert!(t.0.find("1").is_err() && t.0.find("").is_err() && t.0.find("../names/web").is_err());
    assert_eq!(
        t.0.create(id, record("", Status::Creating, true)).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    container.remove().unwrap();
    assert!(t.is_empty());
}

#[test]
fn a_taken_name_leaves_nothing() {
    let t = Temporary::new("name");
    let first = t.0.create(Id::from_random(1), record("web", Status::Running, true)).unwrap();
    let second = t.0.create(Id::from_random(2), record("web", Status::Running, true));
    assert_eq!(second.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(t.0.find("web").unwrap(), first.id);
    assert_eq!(t.0.ids().unwrap().len(), 1);
    first.remove().unwrap();
    assert!(t.is_empty());
}

#[test]
fn only_the_dead_are_reclaimed() {
    let t = Temporary::new("reclaim");
    let alive = t.0.create(Id::from_random(1), record("", Status::Running, true)).unwrap();
    let alive = Holder::of(alive);
    let leave = |id, record: Record| {
        let mut container =
            t.0.create(Id::from_random(id), Record { name: String::new(), ..record.clone() }).unwrap();
        container.record = record;
        container.save().unwrap();
    };
    leave(2, record("", Status::Running, true));
    leave(3, record("", Status::Running, false));
    leave(4, record("", Status::Exited, false));
    drop(t.0.create(Id::from_random(5), record("early", Status::Creating, false)).unwrap());
    static ENDED: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    t.0.reclaim(|id, _| {
        ENDED.lock().unwrap().push(id.as_str().to_owned());
        Ok(())
    })
    .unwrap();
    let mut ended = ENDED.lock().unwrap().clone();
    ended.sort();
    assert_eq!(ended, ["0000000000000002", "0000000000000003", "0000000000000005"]);
    assert!(t.0.find("early").is_err());
    assert_eq!(t.0.ids().unwrap().len(), 3);
    assert_eq!(t.0.read(&Id::from_random(3)).unwrap().unwrap().status, Status::Exited);
    drop(alive);
    assert!(t.0.adopt(&Id::from_random(1)).unwrap().is_some());
}

#[test]
fn all_are_looked_at_in_turns() {
    let t = Temporary::new("turns");
    let dead = |id| drop(t.0.create(Id::from_random(id), record("", Status::Running, true)).unwrap());
    let mut alive = Vec::new();
    (1..150).for_each(|id| {
        alive.push(Holder::of(t.0.create(Id::from_random(id), record("", Status::Running, true)).unwrap()));
        if id == 75 {
            dead(200);
        }
    });
    dead(201);
    fs::write(t.0.run.join("recovered"), "boot").unwrap();
    let count = || t.0.ids().unwrap().len();
    let mut calls = 0;
    while count() > 149 {
        t.0.reclaim_some(|_, _| Ok(())).unwrap();
        calls += 1;
        assert!(calls <= 150, "{} are left", count());
    }
    // A look takes a part of them, not all.
    assert!(calls > 1, "{calls}");
    drop(alive);
}

#[test]
fn a_name_half_given_is_forgotten() {
    let t = Temporary::new("half");
    let id = Id::from_random(1);
    drop(t.0.create(id, record("old", Status::Running, true)).unwrap());
    std::os::unix::fs::symlink(id.as_str(), t.0.name_path("new")).unwrap();
    std::os::unix::fs::symlink("0000000000000002", t.0.name_path("other")).unwrap();
    t.0.adopt(&id).unwrap().unwrap().remove().unwrap();
    let left = fs::read_dir(t.0.name_path("x").parent().unwrap()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["other"]);
}

/// Tells how fast state is written in `TMPDIR`; for long enough to measure it only when `cargo xtask bench --part state`
/// asks for that.
#[test]
fn rate_of_records() {
    let asked = std::env::var("PIPKIN_RATE_MS").ok().and_then(|text| text.parse().ok());
    let span = std::time::Duration::from_millis(asked.unwrap_or(0));
    let store = Temporary::new("rate");
    store.0.make_directories().unwrap();
    let mut number = 0;
    let mut next = || {
        number += 1;
        Id::new(format!("{number:016x}").as_bytes()).unwrap()
    };
    let tell = |what: &str, each: &mut dyn FnMut()| {
        let (mut count, start) = (0, std::time::Instant::now());
        while count == 0 || start.elapsed() < span {
            each();
            count += 1;
        }
        println!("rate {:.0} of {what}", f64::from(count) / start.elapsed().as_secs_f64());
    };
    let mut container = store.0.create(next(), record("", Status::Running, true)).unwrap();
    tell("new records", &mut || {
        container.id = next();
        container.save().unwrap();
    });
    tell("records in the place of former ones", &mut || container.save().unwrap());
    tell("containers: lock and layer", &mut || {
        drop(store.0.create(next(), record("", Status::Running, true)).unwrap())
    });
}
