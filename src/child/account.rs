//! The image's `/etc/passwd` and `/etc/group` (passwd(5), group(5)): hostile text, read in one pass with a fixed
//! buffer, however long its lines.

use crate::spec::Account;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, Result, read, retry_on_intr};

/// Most supplementary groups a process is given; running over it is an error.
pub(super) const MOST_GROUPS: usize = 256;
/// Longest name or home directory that is remembered.
const TEXT: usize = 240;

/// Text of a field as far as it fits.
#[derive(Clone, Copy)]
pub(super) struct Field {
    bytes: [u8; TEXT],
    len: usize,
    whole: bool,
}

impl Field {
    const EMPTY: Self = Self { bytes: [0; TEXT], len: 0, whole: true };

    fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len = self.len.saturating_add(1);
            }
            None => self.whole = false,
        }
    }

    /// The text, unless it was too long to be kept.
    pub(super) fn text(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|_| self.whole)
    }

    fn number(&self) -> Option<u32> {
        match Account::parse(self.text()?)? {
            Account::Id(id) => Some(id),
            Account::Name(_) => None,
        }
    }
}

/// Calls `found` with field number, its text and whether it ends its line, for every field of a file whose fields
/// end in `:`, and whose field `list` is itself a list with commas.
fn each_field(
    file: &OwnedFd,
    list: usize,
    found: &mut dyn FnMut(usize, &Field, bool) -> Result<()>,
) -> Result<()> {
    let mut buffer = [0; 1024];
    let (mut number, mut field, mut any) = (0_usize, Field::EMPTY, false);
    loop {
        let length = retry_on_intr(|| read(file.as_fd(), &mut buffer))?;
        for byte in buffer.get(..length).unwrap_or_default() {
            any = true;
            match *byte {
                b'\n' => {
                    found(number, &field, true)?;
                    (number, field, any) = (0, Field::EMPTY, false);
                }
                b':' => {
                    found(number, &field, false)?;
                    (number, field) = (number.saturating_add(1), Field::EMPTY);
                }
                b',' if number == list => {
                    found(number, &field, false)?;
                    field = Field::EMPTY;
                }
                byte => field.push(byte),
            }
        }
        if length == 0 {
            return if any { found(number, &field, true) } else { Ok(()) };
        }
    }
}

/// What passwd says of a user.
pub(super) struct Entry {
    /// The user's name.
    pub(super) name: Field,
    /// The id.
    pub(super) uid: u32,
    /// The primary group.
    pub(super) gid: u32,
    /// The home directory.
    pub(super) home: Field,
}

/// The first entry for `user` in a passwd file.
///
/// # Errors
/// Those of read(2).
pub(super) fn find_user(passwd: &OwnedFd, user: Account<'_>) -> Result<Option<Entry>> {
    let none = [Field::EMPTY; 6];
    let (mut line, mut entry) = (none, None);
    each_field(passwd, usize::MAX, &mut |number, field, end| {
        if let Some(place) = line.get_mut(number) {
            *place = *field;
        }
        if end {
            if entry.is_none() {
                entry = match_user(&line, user);
            }
            line = none;
        }
        Ok(())
    })?;
    Ok(entry)
}

fn match_user(line: &[Field; 6], user: Account<'_>) -> Option<Entry> {
    let [name, _, uid, gid, _, home] = line;
    let (uid, gid) = (uid.number()?, gid.number()?);
    let same = match user {
        Account::Id(id) => id == uid,
        Account::Name(wanted) => name.text() == Some(wanted),
    };
    same.then_some(Entry { name: *name, uid, gid, home: *home })
}

/// What group says: the id of a wanted group, and the groups that list a user as a member.
pub(super) struct Groups {
    /// The id of the group that was asked for.
    pub(super) wanted: Option<u32>,
    /// Groups of the user.
    pub(super) member: heapless::Vec<u32, MOST_GROUPS>,
}

/// Reads a group file for the group called `wanted` and for the memberships of `user`.
///
/// # Errors
/// `E2BIG` for more than 256 memberships, and those of read(2).
pub(super) fn find_groups(group: &OwnedFd, wanted: Option<&[u8]>, user: Option<&[u8]>) -> Result<Groups> {
    let mut groups = Groups { wanted: None, member: heapless::Vec::new() };
    let (mut named, mut id, mut listed) = (false, None, false);
    each_field(group, 3, &mut |number, field, end| {
        match number {
            0 => named = wanted.is_some() && field.text() == wanted,
            2 => id = field.number(),
            3 => listed |= user.is_some_and(|user| !user.is_empty() && field.text() == Some(user)),
            _ => {}
        }
        if end {
            if let Some(gid) = id {
                if named && groups.wanted.is_none() {
                    groups.wanted = Some(gid);
                }
                if listed && !groups.member.contains(&gid) {
                    groups.member.push(gid).map_err(|_| Errno::TOOBIG)?;
                }
            }
            (named, id, listed) = (false, None, false);
        }
        Ok(())
    })?;
    Ok(groups)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
    use std::prelude::rust_2024::*;
    use std::{format, vec};

    fn file(text: &[u8]) -> OwnedFd {
        let fd = memfd_create(c"accounts", MemfdFlags::CLOEXEC).unwrap();
        assert_eq!(rustix::io::write(&fd, text), Ok(text.len()));
        seek(&fd, SeekFrom::Start(0)).unwrap();
        fd
    }

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/trap:/bin/sh\nbob:x:1000:100:Bob:/home/bob:/bin/sh";

    #[test]
    fn users_are_found_by_name_and_by_id() {
        let bob = find_user(&file(PASSWD), Account::Name(b"bob")).unwrap().unwrap();
        assert_eq!((bob.uid, bob.gid, bob.home.text()), (1000, 100, Some(&b"/home/bob"[..])));
        let bob = find_user(&file(PASSWD), Account::Id(1000)).unwrap().unwrap();
        assert_eq!((bob.uid, bob.name.text()), (1000, Some(&b"bob"[..])));
        assert!(find_user(&file(PASSWD), Account::Name(b"bo")).unwrap().is_none());
        assert!(find_user(&file(PASSWD), Account::Id(5)).unwrap().is_none());
    }

    #[test]
    fn malformed_lines_match_nothing() {
        for text in [
            &b""[..],
            b"\n\n",
            b"bob\n",
            b"bob:x\n",
            b"bob:x:-1:0::/:\n",
            b"bob:x:4294967295:0::/:\n",
            b"bob:x:0x0:0::/:\n",
            b"bob:x::0::/:\n",
            b":x:0:0::/:\n",
        ] {
            assert!(find_user(&file(text), Account::Name(b"bob")).unwrap().is_none(), "{text:?}");
        }
    }

    #[test]
    fn long_lines_are_read_to_their_end() {
        let mut text = vec![b'x'; 5000];
        text.extend_from_slice(b":x:0:0::/:\nbob:x:7:8::/h:\n");
        assert_eq!(find_user(&file(&text), Account::Name(b"bob")).unwrap().unwrap().uid, 7);
        let members: Vec<String> = (0..2000).map(|n| format!("user{n}")).collect();
        let text = format!("big:x:10:{}\nwheel:x:20:bob\n", members.join(","));
        let groups = find_groups(&file(text.as_bytes()), Some(b"wheel"), Some(b"user1999")).unwrap();
        assert_eq!((groups.wanted, &groups.member[..]), (Some(20), &[10][..]));
    }

    #[test]
    fn too_many_memberships_are_an_error() {
        let text: String = (0..300).map(|n| format!("g{n}:x:{n}:bob\n")).collect();
        assert_eq!(find_groups(&file(text.as_bytes()), None, Some(b"bob")).err(), Some(Errno::TOOBIG));
    }

    #[test]
    fn memberships_need_the_whole_name() {
        let text = b"a:x:1:bob\nb:x:2:bobby,alice\nc:x:3:alice,bob\nd:x:4:\nbob:x:5\n";
        let groups = find_groups(&file(text), Some(b"d"), Some(b"bob")).unwrap();
        assert_eq!((groups.wanted, &groups.member[..]), (Some(4), &[1, 3][..]));
    }
}
