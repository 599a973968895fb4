//! The container's id.

/// Longest id taken: long enough for engines that use 64 hex digits.
const CAPACITY: usize = 128;

/// A checked container id: `[A-Za-z0-9_+-][A-Za-z0-9_+.-]*`, at most 128 bytes. It can stand as one component of a
/// path: it holds no `/` and is neither `.` nor `..`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Id {
    len: u8,
    bytes: [u8; CAPACITY],
}

impl Id {
    /// Checks `text`; `None` when it is empty, too long, starts with a dot or holds another character.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_+-".contains(byte);
        let (first, rest) = text.split_first()?;
        if !plain(first) || !rest.iter().all(|byte| plain(byte) || *byte == b'.') {
            return None;
        }
        let mut bytes = [0; CAPACITY];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { len: text.len() as u8, bytes })
    }

    /// Sixteen hex digits of `random`.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        let mut bytes = [0; CAPACITY];
        for (place, byte) in bytes.iter_mut().take(16).enumerate() {
            let digit = (random >> (60 - 4 * place)) as u8 & 15;
            *byte = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        }
        Self { len: 16, bytes }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // The constructors take ASCII only.
        core::str::from_utf8(self.bytes.get(..usize::from(self.len)).unwrap_or(&[])).unwrap_or("")
    }
}

impl core::fmt::Debug for Id {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        let longest = [b'x'; 129];
        for good in ["a", "0123456789abcdef", "web-1", "a..b", "A_b+c.d", "-x"] {
            assert_eq!(Id::new(good.as_bytes()).unwrap().as_str(), good);
        }
        assert_eq!(Id::new(&longest[..128]).unwrap().as_str().len(), 128);
        for bad in ["", ".", "..", ".a", "a/b", "../x", "a b", "ä", "a\n"] {
            assert!(Id::new(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert!(Id::new(&longest).is_none());
    }

    #[test]
    fn random_ids_are_sixteen_hex_digits() {
        assert_eq!(Id::from_random(0).as_str(), "0000000000000000");
        assert_eq!(Id::from_random(0x0123_4567_89ab_cdef).as_str(), "0123456789abcdef");
    }
}
