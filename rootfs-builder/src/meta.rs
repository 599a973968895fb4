//! What every file has beside its contents.

/// Permission bits and owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The twelve permission bits, `0o7777`.
    pub mode: u32,
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
}

impl Meta {
    /// Root's, with these permission bits.
    pub const fn root(mode: u32) -> Meta {
        Meta { mode: mode & 0o7777, uid: 0, gid: 0 }
    }
}

/// Major and minor number of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// The driver's instance.
    pub minor: u32,
}

/// A time since 1970, as `struct timespec` has it: the nanoseconds count forward from the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// Whole seconds.
    pub const fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 0 }
    }
}

/// All that an archive says about a file beside its name, kind and contents.
#[derive(Clone, Debug)]
pub struct Attributes {
    /// Permission bits and owner.
    pub meta: Meta,
    /// Time of the last change to the contents.
    pub mtime: Timestamp,
    /// Extended attributes, name and value, each name once.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    /// For a directory that no one described: root's, 0755, of 1970.
    pub const DIRECTORY: Attributes =
        Attributes { meta: Meta::root(0o755), mtime: Timestamp::from_seconds(0), xattrs: Vec::new() };
}
