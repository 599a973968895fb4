//! Records of a pax extended header: `LENGTH KEY=VALUE\n`, the value any bytes (POSIX.1-2017, pax(1)).

use std::io;

use super::id;
use crate::meta::Timestamp;

/// The records that mean something here.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    /// Name and value, each name once.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Pax {
    pub(super) fn parse(records: &[u8]) -> io::Result<Pax> {
        let mut pax = Pax::default();
        for record in Records(records) {
            let (key, value) = record?;
            match key {
                b"path" => set(&mut pax.path, key, value.to_vec())?,
                b"linkpath" => set(&mut pax.link, key, value.to_vec())?,
                b"size" => set(&mut pax.size, key, number(value)?)?,
                b"uid" => set(&mut pax.uid, key, id(number(value)?)?)?,
                b"gid" => set(&mut pax.gid, key, id(number(value)?)?)?,
                b"mtime" => set(&mut pax.mtime, key, timestamp(value)?)?,
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(io::Error::other("sparse files are not supported"));
                }
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        pax.xattr(name, value)?;
                    }
                }
            }
        }
        Ok(pax)
    }

    /// A global header may carry comments and times; one that changes what entries are is refused, for readers
    /// disagree about it.
    pub(super) fn parse_global(records: &[u8]) -> io::Result<()> {
        for record in Records(records) {
            let (key, _) = record?;
            let changes = matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid")
                || key.starts_with(b"GNU.sparse.")
                || key.starts_with(b"SCHILY.xattr.");
            if changes {
                return Err(bad("a global pax header sets", key));
            }
        }
        Ok(())
    }

    fn xattr(&mut self, name: &[u8], value: &[u8]) -> io::Result<()> {
        if name.is_empty() || name.contains(&0) || self.xattrs.iter().any(|(other, _)| other == name) {
            return Err(bad("a bad or second extended attribute", name));
        }
        self.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }
}

fn bad(what: &str, key: &[u8]) -> io::Error {
    io::Error::other(format!("{what} {}", crate::name::printable(key)))
}

fn set<T>(slot: &mut Option<T>, key: &[u8], value: T) -> io::Result<()> {
    if slot.is_some() {
        return Err(bad("a second pax record", key));
    }
    *slot = Some(value);
    Ok(())
}

fn digits<T: std::str::FromStr>(text: &[u8]) -> io::Result<T> {
    let bad = || bad("not a decimal number:", text);
    if !text.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(bad)
}

fn number(value: &[u8]) -> io::Result<u64> {
    digits(value)
}

/// Seconds since 1970, maybe negative, maybe with a fraction.
fn timestamp(value: &[u8]) -> io::Result<Timestamp> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let (whole, fraction) = match value.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &b""[..]),
    };
    let seconds: i64 = digits(whole)?;
    let mut nanoseconds = 0;
    for place in 0..9 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        nanoseconds = nanoseconds * 10 + digits::<u32>(&[digit])?;
    }
    Ok(match (negative, nanoseconds) {
        (false, _) => Timestamp { seconds, nanoseconds },
        (true, 0) => Timestamp::from_seconds(-seconds),
        (true, _) => Timestamp { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// Key and value of each record.
struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    fn record(&mut self) -> io::Result<(&'a [u8], &'a [u8])> {
        let damaged = || io::Error::other("a damaged pax record");
        let space = self.0.iter().position(|&byte| byte == b' ').ok_or_else(damaged)?;
        let length: usize = digits(&self.0[..space])?;
        let record = self.0.get(..length).ok_or_else(damaged)?;
        let body = record.get(space + 1..).and_then(|body| body.strip_suffix(b"\n")).ok_or_else(damaged)?;
        let equals = body.iter().position(|&byte| byte == b'=').filter(|&at| at > 0).ok_or_else(damaged)?;
        self.0 = &self.0[length..];
        Ok((&body[..equals], &body[equals + 1..]))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = io::Result<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.0 = &[];
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let length = (body + 1..).find(|&length| body + length.to_string().len() == length).unwrap();
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn records_hold_any_bytes() {
        let mut records = record("path", b"a\nb=c");
        records.extend(record("SCHILY.xattr.security.capability", b"\x01\0\n\0=\n"));
        records.extend(record("mtime", b"12.5"));
        records.extend(record("size", b"8589934592"));
        let pax = Pax::parse(&records).unwrap();
        assert_eq!(pax.path.unwrap(), b"a\nb=c");
        assert_eq!(pax.xattrs, [(b"security.capability".to_vec(), b"\x01\0\n\0=\n".to_vec())]);
        assert_eq!(pax.mtime.unwrap(), Timestamp { seconds: 12, nanoseconds: 500_000_000 });
        assert_eq!(pax.size, Some(1 << 33));
        let before = Pax::parse(&record("mtime", b"-1.25")).unwrap().mtime.unwrap();
        assert_eq!(before, Timestamp { seconds: -2, nanoseconds: 750_000_000 });
    }

    #[test]
    fn damaged_and_ambiguous_records_are_refused() {
        let second = [record("path", b"a"), record("path", b"b")].concat();
        let cases: [&[u8]; 12] = [
            b"x",
            b"5 a=b\n",
            b"99999999999999999999 a=b\n",
            b"7 a=bcd",
            b"0 a=b\n",
            b"6 =ab\n",
            b"+6 a=b\n",
            &second,
            &record("size", b"-1"),
            &record("uid", b"4294967295"),
            &record("mtime", b"1.x"),
            &record("GNU.sparse.major", b"1"),
        ];
        for case in cases {
            assert!(Pax::parse(case).is_err(), "{}", case.escape_ascii());
        }
        assert!(Pax::parse_global(&record("comment", b"0123")).is_ok());
        assert!(Pax::parse_global(&record("path", b"x")).is_err());
    }
}
