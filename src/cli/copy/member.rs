//! Members of tar archives: headers in the form of POSIX (ustar), with its extended records (pax) where that is too
//! narrow; GNU's long names and large numbers are read too.

use super::tree::Attribute;
use std::ffi::CString;

/// Archives consist of these.
pub(super) const BLOCK: usize = 512;
/// Longest extended header that is read.
pub(super) const MOST_EXTENDED: u64 = 1 << 20;

/// Kinds of members.
pub(super) mod kind {
    /// A regular file.
    pub(in super::super) const FILE: u8 = b'0';
    /// Another name of a file that came before.
    pub(in super::super) const HARD_LINK: u8 = b'1';
    /// A symbolic link.
    pub(in super::super) const LINK: u8 = b'2';
    /// A directory.
    pub(in super::super) const DIRECTORY: u8 = b'5';
    /// A named pipe.
    pub(in super::super) const PIPE: u8 = b'6';
}

/// What is said of one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Member {
    pub(super) path: Vec<u8>,
    pub(super) kind: u8,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Bytes that follow.
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) time: u64,
    /// Where a link leads.
    pub(super) link: Vec<u8>,
    /// Extended attributes.
    pub(super) attributes: Vec<Attribute>,
}

/// Fields of a header: where each begins, and how long it is.
const NAME: (usize, usize) = (0, 100);
const MODE: (usize, usize) = (100, 8);
const UID: (usize, usize) = (108, 8);
const GID: (usize, usize) = (116, 8);
const SIZE: (usize, usize) = (124, 12);
const TIME: (usize, usize) = (136, 12);
const SUM: (usize, usize) = (148, 8);
const KIND: (usize, usize) = (156, 1);
const LINK: (usize, usize) = (157, 100);
const MAGIC: (usize, usize) = (257, 8);
const PREFIX: (usize, usize) = (345, 155);

type Header = [u8; BLOCK];

fn field(header: &Header, (at, length): (usize, usize)) -> &[u8] {
    header.get(at..at + length).unwrap_or_default()
}

/// Fills a field as far as it reaches; whether it took all.
fn put(header: &mut Header, (at, length): (usize, usize), text: &[u8]) -> bool {
    for (to, from) in header.iter_mut().skip(at).take(length).zip(text) {
        *to = *from;
    }
    text.len() <= length
}

/// In octal, with a NUL behind it.
fn put_number(header: &mut Header, (at, length): (usize, usize), number: u64) -> bool {
    let mut rest = number;
    for place in (at..at + length - 1).rev() {
        put(header, (place, 1), &[b'0' + (rest & 7) as u8]);
        rest >>= 3;
    }
    rest == 0
}

/// All bytes, those of the sum itself as blanks.
fn sum(header: &Header) -> u64 {
    let own = SUM.0..SUM.0 + SUM.1;
    header.iter().enumerate().map(|(at, byte)| if own.contains(&at) { 32 } else { u64::from(*byte) }).sum()
}

/// What the names of extended attributes stand behind, as GNU tar, bsdtar and container engines have it.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// `LENGTH KEY=VALUE` and a newline; the length counts itself.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key, b"=", value, b"\n"].concat();
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

/// How many bytes fill up the last block of `size`.
pub(super) fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

impl Member {
    /// Its header or headers.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut header = [0; BLOCK];
        let mut records = Vec::new();
        for (place, key, text) in [(NAME, "path", &self.path), (LINK, "linkpath", &self.link)] {
            if !put(&mut header, place, text) {
                records.extend(record(key.as_bytes(), text));
            }
        }
        for (place, key, number) in [
            (MODE, "mode", u64::from(self.mode)),
            (UID, "uid", self.uid.into()),
            (GID, "gid", self.gid.into()),
            (SIZE, "size", self.size),
            (TIME, "mtime", self.time),
        ] {
            if !put_number(&mut header, place, number) {
                records.extend(record(key.as_bytes(), number.to_string().as_bytes()));
            }
        }
        for (name, value) in &self.attributes {
            records.extend(record(&[ATTRIBUTE, name.to_bytes()].concat(), value));
        }
        put(&mut header, KIND, &[self.kind]);
        put(&mut header, MAGIC, b"ustar\x0000");
        let sum = sum(&header);
        put_number(&mut header, (SUM.0, SUM.1 - 1), sum);
        put(&mut header, (SUM.0 + SUM.1 - 1, 1), b" ");
        if records.is_empty() {
            return header.to_vec();
        }
        let size = records.len() as u64;
        let extended = Self { path: b"extended".to_vec(), kind: b'x', mode: 0o600, size, ..Self::default() };
        records.resize(records.len() + padding(size), 0);
        [extended.encode(), records, header.to_vec()].concat()
    }

    /// Reads a header; `None` when it is none.
    pub(super) fn decode(header: &Header) -> Option<Self> {
        (number(field(header, SUM)) == Some(sum(header))).then_some(())?;
        let text = |place| field(header, place).split(|byte| *byte == 0).next().unwrap_or_default();
        let small = |place| u32::try_from(number(field(header, place))?).ok();
        let posix = field(header, MAGIC) == b"ustar\x0000";
        let prefix = if posix { text(PREFIX) } else { b"" };
        let slash: &[u8] = if prefix.is_empty() { b"" } else { b"/" };
        let kind = match field(header, KIND) {
            // An old file, and one that was to be stored in one piece.
            [0 | b'7'] => kind::FILE,
            [kind] => *kind,
            _ => return None,
        };
        Some(Self {
            path: [prefix, slash, text(NAME)].concat(),
            kind,
            mode: small(MODE)?,
            uid: small(UID)?,
            gid: small(GID)?,
            size: number(field(header, SIZE))?,
            // A time before 1970 or beyond all bounds is nobody's.
            time: number(field(header, TIME)).unwrap_or(0),
            link: text(LINK).to_vec(),
            attributes: Vec::new(),
        })
    }

    /// Takes over what an extended header of `kind` says; `None` when it is damaged.
    pub(super) fn extend(&mut self, kind: u8, text: &[u8]) -> Option<()> {
        let whole = || text.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        match kind {
            b'L' => self.path = whole(),
            b'K' => self.link = whole(),
            _ => return self.extend_by_records(text),
        }
        Some(())
    }

    fn extend_by_records(&mut self, mut text: &[u8]) -> Option<()> {
        while !text.is_empty() {
            let blank = text.iter().position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(text.get(..blank)?).ok()?.parse().ok()?;
            let (record, rest) = text.split_at_checked(length)?;
            let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
            let number = || {
                let whole = value.split(|byte| *byte == b'.').next()?;
                std::str::from_utf8(whole).ok()?.parse::<u64>().ok()
            };
            match key {
                b"path" => self.path = value.to_vec(),
                b"linkpath" => self.link = value.to_vec(),
                b"uid" => self.uid = u32::try_from(number()?).ok()?,
                b"gid" => self.gid = u32::try_from(number()?).ok()?,
                b"size" => self.size = number()?,
                b"mtime" => self.time = number().unwrap_or(0),
                // Holes are told in another way by each program; what they leave out would be taken for the file.
                key if key.starts_with(b"GNU.sparse.") => return None,
                key => {
                    if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                        self.attributes.push((CString::new(name).ok()?, value.to_vec()));
                    }
                }
            }
            text = rest;
        }
        Some(())
    }
}

/// Octal between blanks and NULs, or GNU's binary form with the highest bit set. A field of nothing is 0.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((first, rest)) = field.split_first().filter(|(first, _)| **first >= 0x80) {
        let digit = |sum: u64, byte: &u8| Some(sum.checked_mul(256)? | u64::from(*byte));
        return rest.iter().try_fold(u64::from(first & 0x7f), digit);
    }
    let blank = |byte: &u8| matches!(byte, 0 | b' ');
    let digits = field.iter().skip_while(|byte| blank(byte)).take_while(|byte| !blank(byte));
    digits.copied().try_fold(0_u64, |sum, byte| {
        (b'0'..=b'7')
            .contains(&byte)
            .then(|| sum.checked_mul(8))
            .flatten()
            .map(|sum| sum | u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads headers as they follow each other.
    fn read(mut bytes: &[u8]) -> Option<Member> {
        let mut extended: Vec<(u8, Vec<u8>)> = Vec::new();
        loop {
            let (header, rest) = bytes.split_first_chunk::<BLOCK>()?;
            let mut member = Member::decode(header)?;
            if !matches!(member.kind, b'x' | b'L' | b'K') {
                extended.iter().try_for_each(|(kind, text)| member.extend(*kind, text))?;
                return Some(member);
            }
            let (text, rest) = rest.split_at_checked(member.size as usize)?;
            extended.push((member.kind, text.to_vec()));
            bytes = rest.get(padding(member.size)..)?;
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            path in proptest::collection::vec(1..=255_u8, 1..300),
            link in proptest::collection::vec(1..=255_u8, 0..300),
            kind in b'0'..b'7',
            mode in 0..0o10000_u32,
            ids: [u32; 2],
            numbers: [u64; 2],
            value: Vec<u8>,
        ) {
            let [uid, gid] = ids;
            let [size, time] = numbers;
            let attributes = vec![(c"user.a".to_owned(), value), (c"user.\xff".to_owned(), Vec::new())];
            let member = Member { path, kind, mode, uid, gid, size, time, link, attributes };
            prop_assert_eq!(read(&member.encode()), Some(member));
        }

        #[test]
        fn nothing_is_read_beyond_the_end(header: Vec<u8>, text: Vec<u8>, kind: u8) {
            let mut block = [0; BLOCK];
            put(&mut block, (0, BLOCK), &header);
            Member::decode(&block);
            Member::default().extend(kind, &text);
        }
    }

    #[test]
    fn what_other_programs_write_is_read() {
        let mut member = Member::default();
        assert_eq!(member.extend(b'L', b"a/long/name\0"), Some(()));
        assert_eq!(member.path, b"a/long/name");
        assert_eq!(member.extend(b'x', b"30 mtime=1350244992.023960108\n15 path=a\nb\xff/c\n"), Some(()));
        assert_eq!((member.time, &*member.path), (1_350_244_992, &b"a\nb\xff/c"[..]));
        for damaged in ["5 a=b\n", "99 a=b\n", "x a=b\n", "6 a=bc", "18 GNU.sparse.x=1\n", "12 uid=-100\n"] {
            assert_eq!(Member::default().extend(b'x', damaged.as_bytes()), None, "{damaged}");
        }
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\x02\0\0\0"), Some(0x0200_0000));
        assert_eq!((number(b"  644 \0"), number(b"\0\0"), number(b"9")), (Some(0o644), Some(0), None));
    }
}
