//! What was typed after `run`, in the record: a container that has ended can be started again as it was made.
//!
//! Keys: `run.option` (repeated, `--name=VALUE` or a switch), `run.operand` (the image and the command) and `run.cwd`, by
//! which relative paths mean what they meant. Variables are not among the options: `exec.env` has all of them with the
//! values that they had.

use crate::cli::argv::Sorted;
use crate::store::Record;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Options that are not kept: the record has them elsewhere, or they were about that one run.
const LEFT_OUT: [&str; 7] =
    ["--cidfile", "--detach", "--die-with-parent", "--env", "--env-file", "--name", "--preserve-fds"];

/// Notes what was typed.
pub(super) fn write(typed: &Sorted<'_>, record: &mut Record) {
    for (name, value) in typed.options.iter().filter(|(name, _)| !LEFT_OUT.contains(name)) {
        let equals = value.map_or("", |_| "=");
        record.add("run.option", [name, equals, value.unwrap_or_default()].concat().as_bytes());
    }
    typed.operands.iter().for_each(|operand| record.add("run.operand", operand.as_bytes()));
    if let Ok(directory) = std::env::current_dir() {
        record.add("run.cwd", directory.as_os_str().as_bytes());
    }
}

/// The words to type after `run` to have it again, in the background; `None` when nothing is known of it.
pub(super) fn read(record: &Record) -> Option<Vec<OsString>> {
    record.get("run.operand")?;
    let joined = |name: &str, value: &[u8]| OsString::from_vec([name.as_bytes(), value].concat());
    let mut words = vec![joined("--detach", b"")];
    if !record.name.is_empty() {
        words.push(joined("--name=", record.name.as_bytes()));
    }
    words.extend(record.all("exec.env").map(|variable| joined("--env=", variable)));
    words.extend(record.all("run.option").map(|option| joined("", option)));
    words.push(joined("--", b""));
    words.extend(record.all("run.operand").map(|operand| joined("", operand)));
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sorted, words};
    use super::*;

    #[test]
    fn what_was_typed_comes_back() {
        let args = words("-d -it --name pot -e A=b --memory=64m -v /x:/y:ro --init image sh -c x");
        let mut record = Record { name: "jar".into(), ..Record::default() };
        write(&sorted(&args), &mut record);
        record.add("exec.env", b"A=b");
        let expected = words(
            "--detach --name=jar --env=A=b --interactive --tty --memory=64m --volume=/x:/y:ro --init -- image sh -c x",
        );
        assert_eq!(read(&record), Some(expected));
        assert_eq!(read(&Record::default()), None);
    }
}
