//! The open section of a record: keys that other rooms give, each with its value, in order and as often as they stand
//! there. Two allocations hold it, however much it is: ten thousand records are read for one list.

/// Keys and values, one after the other in one text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Section {
    text: Vec<u8>,
    /// Where each key, and the value behind it, ends.
    ends: Vec<(usize, usize)>,
}

impl Section {
    /// Makes room for `bytes` of text where there is none yet.
    pub(super) fn make_room(&mut self, bytes: usize) {
        if self.ends.is_empty() {
            (self.text, self.ends) = (Vec::with_capacity(bytes), Vec::with_capacity(8));
        }
    }

    /// Every key with its value, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = 0;
        self.ends.iter().filter_map(move |(key, value)| {
            let start = std::mem::replace(&mut rest, *value);
            Some((std::str::from_utf8(self.text.get(start..*key)?).ok()?, self.text.get(*key..*value)?))
        })
    }

    /// Adds a key with its value at the end.
    pub(crate) fn add(&mut self, key: &str, value: &[u8]) {
        self.text.extend_from_slice(key.as_bytes());
        let end = self.text.len();
        self.text.extend_from_slice(value);
        self.ends.push((end, self.text.len()));
    }

    /// Leaves only the keys of which `stays` holds.
    pub(crate) fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        let mut kept = Self::default();
        self.iter().filter(|(key, _)| stays(key)).for_each(|(key, value)| kept.add(key, value));
        *self = kept;
    }

    /// Adds each of `facts` at the end.
    pub(crate) fn extend<K: AsRef<str>, V: AsRef<[u8]>>(&mut self, facts: impl IntoIterator<Item = (K, V)>) {
        facts.into_iter().for_each(|(key, value)| self.add(key.as_ref(), value.as_ref()));
    }
}
