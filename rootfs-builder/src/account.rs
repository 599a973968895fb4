//! Users of a root file system: a line in `/etc/passwd`, `/etc/group` and, where there is one, `/etc/shadow`
//! (passwd(5), group(5), shadow(5)).

use std::io::Read;
use std::str::FromStr;

use crate::error::{Doing, Error, Result};
use crate::meta::{Attributes, Meta};
use crate::name::printable;
use crate::tree::{Content, Kind, Node, Tree};

const ADD: &str = "add the user";
/// More than any list of users in an image.
const SIZE_MAX: u64 = 4 << 20;
/// The first id of people; those below are the distribution's.
const FIRST_ID: u32 = 1000;

/// A user to be: `NAME[:UID[:GID]]`. Without numbers the first that is free from 1000 on; without a group's, the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<User, String> {
        let bad = || {
            let shown = printable(text.as_bytes());
            format!("{shown:?} is no user: NAME[:UID[:GID]], the name in lower case as useradd(8) takes it")
        };
        let mut fields = text.split(':');
        let name = fields.next().unwrap_or_default().to_owned();
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        let begins = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
        if !begins || name.len() > 32 || !name.bytes().all(plain) {
            return Err(bad());
        }
        let mut number = || fields.next().map(|field| field.parse::<u32>().map_err(|_| bad())).transpose();
        let (uid, gid) = (number()?, number()?);
        // -1 is nobody at all (chown(2)).
        if fields.next().is_some() || [uid, gid].contains(&Some(u32::MAX)) {
            return Err(bad());
        }
        Ok(User { name, uid, gid })
    }
}

/// Adds a user with a group of the same name, where no group has that number, and a home directory.
///
/// Fails when the name or the number is taken, or a list is no regular file.
pub fn add(tree: &mut Tree, user: &User) -> Result<()> {
    let refused = |why: String| Error::refused(ADD, &user.name, why);
    let passwd = List::of(tree, "/etc/passwd")?.unwrap_or(List::new("/etc/passwd", 0o644));
    let group = List::of(tree, "/etc/group")?.unwrap_or(List::new("/etc/group", 0o644));
    if passwd.has(&user.name) {
        return Err(refused("there is one of this name".into()));
    }
    let free = || (FIRST_ID..u32::MAX).find(|id| !passwd.has_id(*id) && !group.has_id(*id));
    let uid = user.uid.or_else(free).ok_or_else(|| refused("no number is free".into()))?;
    if passwd.has_id(uid) {
        return Err(refused(format!("number {uid} is taken")));
    }
    let gid = user.gid.unwrap_or(uid);
    let name = &user.name;
    let shell = if tree.get("/bin/sh").is_some() { "/bin/sh" } else { "/sbin/nologin" };
    passwd.with(format!("{name}:x:{uid}:{gid}::/home/{name}:{shell}")).store(tree)?;
    if !group.has_id(gid) {
        if group.has(name) {
            return Err(refused(format!("there is a group of this name, and none of number {gid}")));
        }
        group.with(format!("{name}:x:{gid}:")).store(tree)?;
    }
    if let Some(shadow) = List::of(tree, "/etc/shadow")? {
        // No password opens it.
        shadow.with(format!("{name}:!::0:::::")).store(tree)?;
    }
    let home = Attributes::new(Meta { mode: 0o700, uid, gid });
    tree.insert(&format!("/home/{name}"), Node { attributes: home, kind: Kind::Directory })
}

/// A file of lines whose fields are separated by colons, the third being a number.
struct List {
    path: &'static str,
    attributes: Attributes,
    text: String,
}

impl List {
    fn new(path: &'static str, mode: u32) -> List {
        List { path, attributes: Attributes::new(Meta::root(mode)), text: String::new() }
    }

    fn of(tree: &Tree, path: &'static str) -> Result<Option<List>> {
        let Some(Node { attributes, kind }) = tree.get(path) else { return Ok(None) };
        let text = match kind {
            Kind::File(content) if content.size() <= SIZE_MAX => read(content, path)?,
            _ => return Err(Error::refused("read", path, "not a regular file of a usual size")),
        };
        Ok(Some(List { path, attributes: attributes.clone(), text }))
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.lines().filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?, fields.nth(1).unwrap_or_default()))
        })
    }

    fn has(&self, name: &str) -> bool {
        self.fields().any(|(known, _)| known == name)
    }

    fn has_id(&self, id: u32) -> bool {
        self.fields().any(|(_, number)| number.parse() == Ok(id))
    }

    fn with(&self, line: String) -> List {
        let end = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { "\n" };
        let text = format!("{}{end}{line}\n", self.text);
        List { path: self.path, attributes: self.attributes.clone(), text }
    }

    fn store(self, tree: &mut Tree) -> Result<()> {
        let kind = Kind::File(Content::Bytes(self.text.into_bytes().into()));
        tree.insert(self.path, Node { attributes: self.attributes, kind })
    }
}

fn read(content: &Content, path: &str) -> Result<String> {
    let mut text = String::new();
    content.open().doing("read", || path)?.read_to_string(&mut text).doing("read", || path)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tree: &Tree, path: &'static str) -> String {
        List::of(tree, path).unwrap().unwrap().text
    }

    fn user(text: &str) -> User {
        text.parse().unwrap()
    }

    #[test]
    fn users_are_added_to_what_is_there() {
        let mut tree = Tree::new();
        tree.file("/etc/passwd", 0o644, *b"root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/:/bin/sh")
            .unwrap();
        tree.file("/etc/group", 0o644, *b"root:x:0:\nusers:x:100:\n").unwrap();
        tree.file("/etc/shadow", 0o640, *b"root:!::0:::::\n").unwrap();
        tree.file("/bin/sh", 0o755, *b"").unwrap();
        add(&mut tree, &user("web")).unwrap();
        add(&mut tree, &user("app:7:100")).unwrap();
        assert!(text(&tree, "/etc/passwd").ends_with(
            "me:x:1000:1000::/:/bin/sh\nweb:x:1001:1001::/home/web:/bin/sh\napp:x:7:100::/home/app:/bin/sh\n"
        ));
        assert_eq!(text(&tree, "/etc/group"), "root:x:0:\nusers:x:100:\nweb:x:1001:\n");
        assert!(text(&tree, "/etc/shadow").ends_with("web:!::0:::::\napp:!::0:::::\n"));
        assert_eq!(tree.get("/etc/shadow").unwrap().attributes.meta.mode, 0o640);
        assert_eq!(tree.get("/home/app").unwrap().attributes.meta, Meta { mode: 0o700, uid: 7, gid: 100 });
        for taken in ["web", "other:1001", "users:9:9", "root"] {
            let result = add(&mut tree, &user(taken));
            assert_eq!(
                result.is_err(),
                taken != "users:9:9" || text(&tree, "/etc/group").contains("users:x:100")
            );
        }
    }

    #[test]
    fn an_empty_root_gets_its_lists() {
        let mut tree = Tree::new();
        add(&mut tree, &user("web")).unwrap();
        assert_eq!(text(&tree, "/etc/passwd"), "web:x:1000:1000::/home/web:/sbin/nologin\n");
        assert!(tree.get("/etc/shadow").is_none());
        let mut tree = Tree::new();
        tree.symlink("/etc/passwd", "/tmp/passwd").unwrap();
        assert!(add(&mut tree, &user("web")).is_err());
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for text in ["", "Web", "1a", "a b", "a:x", "a:1:2:3", "a:-1", "a:4294967295", "a\nroot:x", ":1"] {
            assert!(text.parse::<User>().is_err(), "{text:?}");
        }
        assert_eq!(user("a:1:2"), User { name: "a".into(), uid: Some(1), gid: Some(2) });
    }
}
