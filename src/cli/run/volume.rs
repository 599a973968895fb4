//! Mounts asked for by `-v`, `--mount` and `--tmpfs`: from text to what is mounted where and how.
//!
//! Pure: paths are not looked at here.

use super::keep;
use super::quantity::{Why, size, unsigned};
use linux_raw_sys::general as raw;
use pipkin::spec::{Attributes, MountOption, Propagation};
use std::ffi::CStr;

/// A mount as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Volume<'a> {
    /// What.
    pub(super) content: Content<'a>,
    /// Where in the container: absolute, plain.
    pub(super) target: &'static CStr,
    /// How.
    pub(super) attributes: Attributes,
    /// With which propagation.
    pub(super) propagation: Option<Propagation>,
}

/// What a mount shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content<'a> {
    /// A path of the host.
    Bind {
        /// As it was typed: relative or absolute.
        source: &'a str,
        /// Whether a missing source is made (`-v`) or an error (`--mount`).
        create: bool,
        /// With all that is mounted below it.
        recursive: bool,
        /// With the ids that its files have on the host.
        mapped: bool,
    },
    /// A volume by its name.
    Volume(&'a str),
    /// Memory.
    Tmpfs(&'static [MountOption<'static>]),
}

/// A flag of a mount by its words: set by the first, cleared by the second.
const FLAGS: [(&str, &str, u32); 4] = [
    ("nosuid", "suid", raw::MOUNT_ATTR_NOSUID),
    ("nodev", "dev", raw::MOUNT_ATTR_NODEV),
    ("noexec", "exec", raw::MOUNT_ATTR_NOEXEC),
    ("nosymfollow", "symfollow", raw::MOUNT_ATTR_NOSYMFOLLOW),
];

/// When a mount notes that a file was read; one of them is in force.
const ACCESS_TIMES: [(&str, u32); 3] = [
    ("relatime", raw::MOUNT_ATTR_RELATIME),
    ("noatime", raw::MOUNT_ATTR_NOATIME),
    ("strictatime", raw::MOUNT_ATTR_STRICTATIME),
];

const PROPAGATIONS: [(&str, Propagation); 4] = [
    ("private", Propagation::Private),
    ("slave", Propagation::Slave),
    ("shared", Propagation::Shared),
    ("unbindable", Propagation::Unbindable),
];

/// Attributes under construction.
#[derive(Clone, Copy, Default)]
struct Flags {
    attributes: Attributes,
    propagation: Option<Propagation>,
    mapped: bool,
}

impl Flags {
    /// Takes one word that binds and tmpfs share; whether it was one.
    fn word(&mut self, word: &str) -> bool {
        for (set, clear, flag) in FLAGS {
            if word == set || word == clear {
                let Attributes { set: bits, clear: cleared, .. } = &mut self.attributes;
                let (to, from) = if word == set { (bits, cleared) } else { (cleared, bits) };
                *to |= flag;
                *from &= !flag;
                return true;
            }
        }
        let Some((_, time)) = ACCESS_TIMES.into_iter().find(|(name, _)| *name == word) else {
            return false;
        };
        self.attributes.set = self.attributes.set & !raw::MOUNT_ATTR__ATIME | time;
        self.attributes.clear |= raw::MOUNT_ATTR__ATIME;
        true
    }

    /// Takes a word of a bind. Read-only holds for everything mounted below too, as with docker since 25.
    fn bind_word(&mut self, word: &str) -> Result<(), Why> {
        match word {
            "ro" | "rro" | "readonly" => self.attributes.set_recursive |= raw::MOUNT_ATTR_RDONLY,
            "rw" => self.attributes.set_recursive &= !raw::MOUNT_ATTR_RDONLY,
            "idmap" => self.mapped = true,
            "z" | "Z" => return Err("labels of SELinux are not set: leave out z and Z"),
            _ if self.word(word) => {}
            _ => {
                self.propagation = Some(
                    propagation(word)
                        .ok_or("give ro, rw, noexec, nosuid, nodev or a propagation such as rslave")?,
                );
            }
        }
        Ok(())
    }
}

fn propagation(word: &str) -> Option<Propagation> {
    let word = word.strip_prefix('r').unwrap_or(word);
    PROPAGATIONS.into_iter().find(|(name, _)| *name == word).map(|(_, propagation)| propagation)
}

/// `-v SRC:DST[:OPTIONS]`.
pub(super) fn volume(text: &str) -> Result<Volume<'_>, Why> {
    let mut parts = text.split(':');
    let source =
        parts.next().filter(|source| !source.is_empty()).ok_or("the source is missing: give SRC:DST")?;
    let target = parts.next().ok_or("the place inside is missing: give SRC:DST")?;
    let options = parts.next().unwrap_or_default();
    if parts.next().is_some() {
        return Err("it has too many colons: use --mount for paths with colons");
    }
    let mut flags = Flags::default();
    options.split(',').filter(|word| !word.is_empty()).try_for_each(|word| flags.bind_word(word))?;
    let content = if source.contains('/') || source == "." || source == ".." {
        Content::Bind { source, create: true, recursive: true, mapped: flags.mapped }
    } else {
        Content::Volume(name(source)?)
    };
    Ok(Volume {
        content,
        target: place(target)?,
        attributes: flags.attributes,
        propagation: flags.propagation,
    })
}

/// The name of a volume, as docker has them.
///
/// # Errors
/// What a name is made of.
pub(crate) fn name(text: &str) -> Result<&str, Why> {
    const LONGEST: usize = 255;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    let good = begins && text.len() <= LONGEST && text.bytes().all(plain);
    if good {
        Ok(text)
    } else {
        Err("a volume's name has letters, digits, '_', '.' and '-'; a path has a slash, as ./data")
    }
}

/// `--tmpfs DST[:OPTIONS]`.
pub(super) fn tmpfs(text: &str) -> Result<Volume<'static>, Why> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut tmpfs = Tmpfs::default();
    options.split(',').filter(|word| !word.is_empty()).try_for_each(|word| tmpfs.word(word))?;
    tmpfs.at(target)
}

/// A tmpfs under construction.
#[derive(Default)]
struct Tmpfs {
    flags: Flags,
    options: Vec<MountOption<'static>>,
}

impl Tmpfs {
    fn word(&mut self, word: &str) -> Result<(), Why> {
        match word.split_once('=') {
            Some((key, value)) => self.option(key, value),
            None if word == "ro" => {
                self.flags.attributes.set |= raw::MOUNT_ATTR_RDONLY;
                Ok(())
            }
            None if word == "rw" => {
                self.flags.attributes.set &= !raw::MOUNT_ATTR_RDONLY;
                Ok(())
            }
            None if self.flags.word(word) => Ok(()),
            None => Err("give size=, mode=, uid=, gid=, nr_inodes=, ro, exec, suid or dev"),
        }
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), Why> {
        const NUMBER: Why = "give a number";
        let (key, value) = match key {
            "size" => (c"size", size(value)?.to_string()),
            "mode" => (c"mode", octal(value)?),
            "uid" => (c"uid", unsigned(value).ok_or(NUMBER)?.to_string()),
            "gid" => (c"gid", unsigned(value).ok_or(NUMBER)?.to_string()),
            "nr_inodes" => (c"nr_inodes", unsigned(value).ok_or(NUMBER)?.to_string()),
            _ => return Err("give size=, mode=, uid=, gid= or nr_inodes="),
        };
        self.options.retain(|known| !matches!(known, MountOption::Value(name, _) if *name == key));
        self.options.push(MountOption::Value(key, keep::text(value).ok_or(NUMBER)?));
        Ok(())
    }

    /// Inert unless asked otherwise, as with docker; bounded, where docker and the kernel would give half of all memory:
    /// its pages outlive the container's limit for as long as somebody holds it (CVE-2024-3056).
    fn at(mut self, target: &str) -> Result<Volume<'static>, Why> {
        const BOUND: MountOption<'static> = MountOption::Value(c"size", c"10%");
        if !self.options.iter().any(|known| matches!(known, MountOption::Value(name, _) if *name == c"size"))
        {
            self.options.push(BOUND);
        }
        let inert = raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NODEV | raw::MOUNT_ATTR_NOEXEC;
        let Attributes { set, clear, .. } = self.flags.attributes;
        // A new mount has nothing to clear but what is set here.
        let attributes = Attributes::only(set | inert & !clear);
        let content = Content::Tmpfs(keep::list(self.options));
        Ok(Volume { content, target: place(target)?, attributes, propagation: self.flags.propagation })
    }
}

fn octal(text: &str) -> Result<String, Why> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777 && !text.starts_with('+'));
    mode.map(|_| text.to_owned()).ok_or("give a mode in octal, as 1777")
}

/// `--mount KEY=VALUE,…`.
pub(super) fn mount(text: &str) -> Result<Volume<'_>, Why> {
    let (mut kind, mut source, mut target) = ("", None, None);
    let mut rest = Vec::new();
    for part in text.split(',') {
        let (key, value) = part.split_once('=').map_or((part, None), |(key, value)| (key, Some(value)));
        match (key, value) {
            ("type", Some(value)) => kind = value,
            ("source" | "src", Some(value)) => source = Some(value),
            ("target" | "destination" | "dst", Some(value)) => target = Some(value),
            _ => rest.push((key, value)),
        }
    }
    let target =
        target.filter(|target| !target.is_empty()).ok_or("the place inside is missing: give dst=")?;
    match (kind, source) {
        ("bind", Some(source)) if !source.is_empty() => bind_mount(source, target, &rest),
        ("bind" | "volume", None | Some("")) => Err("the source is missing: give src="),
        ("volume", Some(source)) => bind_mount(source, target, &rest)
            .and_then(|volume| Ok(Volume { content: Content::Volume(name(source)?), ..volume })),
        ("tmpfs", None) => tmpfs_mount(target, &rest),
        ("tmpfs", Some(_)) => Err("a tmpfs has no source: leave out src="),
        _ => Err("give type=bind, type=volume or type=tmpfs"),
    }
}

fn bind_mount<'a>(source: &'a str, target: &str, rest: &[(&str, Option<&str>)]) -> Result<Volume<'a>, Why> {
    let (mut flags, mut recursive) = (Flags::default(), true);
    for (key, value) in rest {
        match (*key, *value) {
            ("ro" | "readonly", Some("false" | "0")) => flags.bind_word("rw")?,
            ("ro" | "readonly", Some("true" | "1")) => flags.bind_word("ro")?,
            ("bind-propagation", Some(word)) => {
                flags.propagation = Some(propagation(word).ok_or("give a propagation such as rslave")?);
            }
            ("bind-recursive", Some("enabled" | "readonly")) => recursive = true,
            ("bind-recursive", Some("disabled")) => recursive = false,
            (word, None) => flags.bind_word(word)?,
            _ => return Err("give ro, bind-propagation= or bind-recursive=enabled|disabled"),
        }
    }
    let content = Content::Bind { source, create: false, recursive, mapped: flags.mapped };
    Ok(Volume {
        content,
        target: place(target)?,
        attributes: flags.attributes,
        propagation: flags.propagation,
    })
}

fn tmpfs_mount(target: &str, rest: &[(&str, Option<&str>)]) -> Result<Volume<'static>, Why> {
    let mut tmpfs = Tmpfs::default();
    for (key, value) in rest {
        match (*key, *value) {
            ("readonly", None | Some("true" | "1")) => tmpfs.word("ro")?,
            (word, None) => tmpfs.word(word)?,
            (key, Some(value)) => tmpfs.option(key.strip_prefix("tmpfs-").unwrap_or(key), value)?,
        }
    }
    tmpfs.at(target)
}

/// A place in the container: absolute, without `..`, not the root, not in `/proc`; made plain.
///
/// What lies in `/proc` is believed by programs and by Pipkin's own masks; whoever could put files there could
/// turn both against the host (CVE-2019-16884).
pub(super) fn place(target: &str) -> Result<&'static CStr, Why> {
    if !target.starts_with('/') {
        return Err("the place inside must be an absolute path");
    }
    let mut plain = String::new();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err("the place inside must not contain '..'");
        }
        plain.extend(["/", part]);
    }
    match plain.as_str() {
        "" => Err("it would hide the root: give IMAGE instead"),
        "/proc" => Err("nothing can be mounted over /proc"),
        _ if plain.starts_with("/proc/") => Err("nothing can be mounted in /proc"),
        _ => keep::text(plain).ok_or("it holds a NUL byte"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bind(text: &str) -> (String, String, Attributes, Option<Propagation>) {
        let Volume { content, target, attributes, propagation } = volume(text).unwrap();
        let Content::Bind { source, create: true, recursive: true, .. } = content else { panic!("{text}") };
        (source.to_owned(), target.to_str().unwrap().to_owned(), attributes, propagation)
    }

    #[test]
    fn volumes_are_dockers() {
        let plain = Attributes::default();
        let readonly = Attributes { set_recursive: raw::MOUNT_ATTR_RDONLY, ..plain };
        let bound = |source: &str, target: &str| (source.to_owned(), target.to_owned(), plain, None);
        assert_eq!(bind("/a:/b"), bound("/a", "/b"));
        assert_eq!(bind("./a:/b"), bound("./a", "/b"));
        assert_eq!(bind(".://b/./c/:rw"), bound(".", "/b/c"));
        assert_eq!(bind("/a,b:/b c"), bound("/a,b", "/b c"));
        assert_eq!(bind("/a:/b:ro").2, readonly);
        assert_eq!(bind("/a:/b:rro").2, readonly);
        assert_eq!(bind("/a:/b:ro,rw").2, plain);
        assert_eq!(bind("/a:/b:rslave,noexec").2, Attributes::only(raw::MOUNT_ATTR_NOEXEC));
        assert_eq!(bind("/a:/b:rslave").3, Some(Propagation::Slave));
        assert_eq!(bind("/a:/b:private").3, Some(Propagation::Private));
        assert_eq!(bind("/a:/b:exec").2.clear, raw::MOUNT_ATTR_NOEXEC);
        let time = bind("/a:/b:noatime").2;
        assert_eq!((time.set, time.clear), (raw::MOUNT_ATTR_NOATIME, raw::MOUNT_ATTR__ATIME));
    }

    #[test]
    fn what_is_not_done_is_refused() {
        for text in [
            "",
            ":",
            "/a",
            "/a:",
            ":/b",
            "/a:b",
            "/a:/",
            "/a:/.",
            "/a:/b/../c",
            "/a:/b:ro:x",
            "_data:/b",
            "da+ta:/b",
            "data:/b:z",
            "/a:/b:z",
            "/a:/b:ro,Z",
            "/a:/b:foo",
            "/a:/proc",
            "/a:/proc/sys",
            "/a://proc/./sys",
            "/a:/b:r",
        ] {
            assert!(volume(text).is_err(), "{text}");
        }
        assert!(volume("/a:/process").is_ok());
    }

    fn memory(volume: Volume<'_>) -> (Vec<(String, String)>, u32) {
        let Content::Tmpfs(options) = volume.content else { panic!() };
        let shown = options.iter().map(|option| match option {
            MountOption::Value(key, value) => {
                (key.to_str().unwrap().to_owned(), value.to_str().unwrap().to_owned())
            }
            MountOption::Flag(word) => (word.to_str().unwrap().to_owned(), String::new()),
            MountOption::CopyUp => panic!(),
        });
        (shown.collect(), volume.attributes.set)
    }

    #[test]
    fn a_tmpfs_is_inert_unless_told() {
        let inert = raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NODEV | raw::MOUNT_ATTR_NOEXEC;
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(memory(tmpfs("/t").unwrap()), (vec![set("size", "10%")], inert));
        let (options, attributes) = memory(tmpfs("/t:size=64m,mode=1777,exec,size=1k,ro").unwrap());
        assert_eq!(options, [set("mode", "1777"), set("size", "1024")]);
        assert_eq!(attributes, inert & !raw::MOUNT_ATTR_NOEXEC | raw::MOUNT_ATTR_RDONLY);
        for text in
            ["", "t", "/", "/t:size=", "/t:size=x", "/t:mode=9", "/t:mode=10000", "/t:huge=always", "/t:foo"]
        {
            assert!(tmpfs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mounts_are_told_by_name() {
        let bind = mount("type=bind,src=/a:b,dst=/c,ro,bind-propagation=rshared").unwrap();
        assert_eq!(
            bind.content,
            Content::Bind { source: "/a:b", create: false, recursive: true, mapped: false }
        );
        assert_eq!(bind.attributes.set_recursive, raw::MOUNT_ATTR_RDONLY);
        assert_eq!(bind.propagation, Some(Propagation::Shared));
        let flat = mount("type=bind,source=/a,target=/c,readonly=false,bind-recursive=disabled").unwrap();
        assert_eq!(
            flat.content,
            Content::Bind { source: "/a", create: false, recursive: false, mapped: false }
        );
        assert_eq!(flat.attributes, Attributes::default());
        let (options, _) = memory(mount("type=tmpfs,destination=/c,tmpfs-size=1m,mode=0700").unwrap());
        assert_eq!(options.len(), 2);
        for text in [
            "",
            "type=bind",
            "type=bind,src=/a",
            "type=bind,dst=/c",
            "type=bind,src=,dst=/c",
            "src=/a,dst=/c",
            "type=volume,dst=/c",
            "type=volume,src=./a,dst=/c",
            "type=tmpfs,src=/a,dst=/c",
            "type=bind,src=/a,dst=c",
            "type=bind,src=/a,dst=/c,size=1m",
            "type=tmpfs,dst=/c,bind-propagation=slave",
            "type=bind,src=/a,dst=/c,ro=maybe",
            "type=bind,src=/a,dst=/c,,ro",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_place_that_passes_is_plain(text in "[/.a]{0,12}") {
            if let Ok(target) = place(&text) {
                let target = target.to_str().unwrap();
                prop_assert!(target.starts_with('/') && !target.ends_with('/') && !target.contains("//"));
                prop_assert!(target.split('/').all(|part| part != "." && part != ".."));
            }
        }
    }
}
