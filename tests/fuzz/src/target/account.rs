//! An image's passwd and group: the reader in one pass finds what a reader of whole lines finds.

use crate::account::{MOST_GROUPS, find_groups, find_user};
use pipkin::spec::Account;
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use rustix::io::Errno;

/// Longest field that is looked at.
const TEXT: usize = 240;

/// The first line is who is looked for; the rest is the file.
pub(super) fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (wanted, text) = data.split_at(end);
    let text = text.get(1..).unwrap_or_default();
    if let Some(account) = Account::parse(wanted) {
        user(text, account);
    }
    groups(text, wanted);
}

fn file(text: &[u8]) -> OwnedFd {
    let file = memfd_create(c"accounts", MemfdFlags::CLOEXEC).expect("a file in memory");
    assert_eq!(rustix::io::write(&file, text), Ok(text.len()));
    seek(&file, SeekFrom::Start(0)).expect("its start");
    file
}

fn lines(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| line.split(|byte| *byte == b':').collect())
}

fn number(field: &[u8]) -> Option<u32> {
    match Account::parse(field).filter(|_| field.len() <= TEXT)? {
        Account::Id(id) => Some(id),
        Account::Name(_) => None,
    }
}

fn user(text: &[u8], account: Account<'_>) {
    let found = find_user(&file(text), account).expect("a readable file");
    let expected = lines(text).find_map(|line| {
        let (uid, gid) = (number(line.get(2)?)?, number(line.get(3)?)?);
        let same = match account {
            Account::Id(id) => id == uid,
            Account::Name(name) => line[0] == name && name.len() <= TEXT,
        };
        same.then(|| (uid, gid, line[0], line.get(5).copied().unwrap_or_default()))
    });
    assert_eq!(found.is_some(), expected.is_some(), "{account:?}");
    if let (Some(found), Some((uid, gid, name, home))) = (found, expected) {
        let whole = |text: &[u8]| (text.len() <= TEXT).then(|| text.to_vec());
        assert_eq!((found.uid, found.gid), (uid, gid));
        assert_eq!(found.name.text().map(<[u8]>::to_vec), whole(name));
        assert_eq!(found.home.text().map(<[u8]>::to_vec), whole(home));
    }
}

fn groups(text: &[u8], name: &[u8]) {
    let (mut wanted, mut member) = (None, Vec::new());
    for line in lines(text) {
        let Some(id) = line.get(2).and_then(|field| number(field)) else { continue };
        let known = |field: &[u8]| field == name && name.len() <= TEXT;
        if wanted.is_none() && known(line[0]) {
            wanted = Some(id);
        }
        let listed = line.get(3).is_some_and(|list| list.split(|byte| *byte == b',').any(known));
        if listed && !name.is_empty() && !member.contains(&id) {
            member.push(id);
        }
    }
    match find_groups(&file(text), Some(name), Some(name)) {
        Ok(groups) => assert_eq!((groups.wanted, &groups.member[..]), (wanted, &member[..])),
        Err(errno) => assert!(errno == Errno::TOOBIG && member.len() > MOST_GROUPS),
    }
}
