//! Limits that were changed while a container ran, for its next runs: the file `limits` in its directory, a line for each
//! cgroup file and device, `CONTROLLER FILE VALUE`.

use super::{Checked, keep};
use crate::cli::launch::{errno_of, with_room};
use crate::cli::message::Failure;
use crate::store::Store;
use pipkin::plan::{HostStep, LimitValue, Plan};
use pipkin::spec::Id;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

const FILE: &str = "limits";

/// What a line is about: with bounds of one device, that device too.
fn subject<'t>(file: &'t str, value: &'t str) -> [&'t str; 2] {
    let device = value.split_once(' ').filter(|(device, _)| device.contains(':'));
    [file, device.map_or("", |(device, _)| device)]
}

fn parse(line: &str) -> Option<[&str; 3]> {
    let mut words = line.splitn(3, ' ');
    Some([words.next()?, words.next()?, words.next()?])
}

/// Puts what `changes` say into `text`, in the place of what was said of the same files.
fn merge(text: &str, changes: &Plan<'_>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut controller = "";
    for step in &changes.host {
        match step {
            HostStep::EnableController(name) => controller = name,
            HostStep::SetLimit { file, value } => {
                let about = subject(file, value);
                lines
                    .retain(|line| parse(line).is_some_and(|[_, file, value]| subject(file, value) != about));
                lines.push([controller, " ", file, " ", value].concat());
            }
            _ => {}
        }
    }
    lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
}

fn place(store: &Store, id: &Id) -> PathBuf {
    store.layer(id).join(FILE)
}

fn read(store: &Store, id: &Id) -> io::Result<String> {
    match fs::read_to_string(place(store, id)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Notes that container `id` was given the limits of `changes`.
///
/// # Errors
/// Those of the file system; what was noted before then stands.
pub(super) fn note(store: &Store, id: &Id, changes: &Plan<'_>) -> Result<(), Failure> {
    let noted = || -> io::Result<()> {
        let path = place(store, id);
        // Two that change it at once do so one after the other.
        let directory = File::open(store.layer(id))?;
        directory.lock()?;
        let temporary = path.with_added_extension("new");
        fs::write(&temporary, merge(&read(store, id)?, changes))?;
        fs::rename(temporary, path)
    };
    noted().map_err(|error| {
        let failure = Failure::io("note the limits of", id.as_str().as_bytes(), &error);
        with_room(failure, errno_of(&error))
    })
}

/// `plan` with the limits that were noted for container `id`; `None` when there are none.
///
/// # Errors
/// As [`apply`].
pub(in super::super) fn changed<'p>(
    store: &Store,
    id: &Id,
    plan: &Plan<'p>,
) -> Checked<Option<Box<Plan<'p>>>> {
    if !place(store, id).exists() {
        return Ok(None);
    }
    let mut changed = Box::new(plan.clone());
    apply(store, id, &mut changed)?;
    Ok(Some(changed))
}

/// Brings the limits in `plan`, which makes container `id`, to what was noted.
///
/// # Errors
/// They cannot be read, or are too many.
pub(super) fn apply(store: &Store, id: &Id, plan: &mut Plan<'_>) -> Checked<()> {
    let failed = |why: &[u8]| Failure::new("set the limits that were noted for", id.as_str().as_bytes(), why);
    let text = read(store, id).map_err(|error| failed(error.to_string().as_bytes()))?;
    for [controller, file, text] in text.lines().filter_map(parse) {
        let value = LimitValue::try_from(text).map_err(|_| failed(b"one of them is damaged"))?;
        let about = subject(file, text);
        let same = plan.host.iter_mut().find_map(|step| match step {
            HostStep::SetLimit { file, value } if subject(file, value) == about => Some(value),
            _ => None,
        });
        if let Some(former) = same {
            *former = value;
            continue;
        }
        let [controller, file] = [controller, file].map(keep::word);
        let born = plan.host.iter().position(|step| matches!(step, HostStep::Clone { .. }));
        let at = born.ok_or_else(|| failed(b"it has no cgroup"))?;
        for step in [HostStep::SetLimit { file, value }, HostStep::EnableController(controller)] {
            plan.host.insert(at, step).map_err(|_| failed(b"they are too many"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(limits: &[(&'static str, &'static str, &str)]) -> Plan<'static> {
        let mut plan = Plan::default();
        for (controller, file, value) in limits {
            plan.host.push(HostStep::EnableController(controller)).unwrap();
            let value = LimitValue::try_from(*value).unwrap();
            plan.host.push(HostStep::SetLimit { file, value }).unwrap();
        }
        plan
    }

    #[test]
    fn the_last_change_of_a_file_counts() {
        let text = merge("", &plan(&[("memory", "memory.max", "1"), ("io", "io.max", "8:0 rbps=1")]));
        assert_eq!(text, "memory memory.max 1\nio io.max 8:0 rbps=1\n");
        let text = merge(&text, &plan(&[("io", "io.max", "8:16 rbps=2"), ("memory", "memory.max", "max")]));
        assert_eq!(text, "io io.max 8:0 rbps=1\nio io.max 8:16 rbps=2\nmemory memory.max max\n");
        assert_eq!(merge("damaged\n", &plan(&[])), "damaged\n");
    }

    #[test]
    fn a_plan_is_changed_where_it_says_something_else() {
        let folder = std::env::temp_dir().join(["pipkin-lasting-", &std::process::id().to_string()].concat());
        let (store, id) = (Store::below(&folder), Id::from_random(1));
        fs::create_dir_all(store.layer(&id)).unwrap();
        note(&store, &id, &plan(&[("memory", "memory.max", "7"), ("pids", "pids.max", "5")])).unwrap();
        let mut made = plan(&[("memory", "memory.max", "1")]);
        assert!(apply(&store, &id, &mut made.clone()).is_err());
        made.host.push(HostStep::Clone { namespaces: 0, cgroup: true }).unwrap();
        apply(&store, &id, &mut made).unwrap();
        let mut wanted = plan(&[("memory", "memory.max", "7"), ("pids", "pids.max", "5")]);
        wanted.host.push(HostStep::Clone { namespaces: 0, cgroup: true }).unwrap();
        assert_eq!(made, wanted);
        fs::remove_dir_all(folder).unwrap();
    }
}
