//! What every file has beside its contents.

use crate::error::{Error, Result};

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

/// Something that is neither a directory nor a regular file nor a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

impl Special {
    /// The device, if it is one.
    pub const fn device(self) -> Option<Device> {
        match self {
            Special::CharDevice(device) | Special::BlockDevice(device) => Some(device),
            Special::Fifo | Special::Socket => None,
        }
    }
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

/// The environment's `SOURCE_DATE_EPOCH`, in seconds since 1970, if it is set: the time that what is built is to
/// carry (<https://reproducible-builds.org/specs/source-date-epoch/>).
pub fn source_date_epoch() -> Result<Option<u32>> {
    const VARIABLE: &str = "SOURCE_DATE_EPOCH";
    match std::env::var(VARIABLE) {
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(Error::refused("read", VARIABLE, error.to_string())),
        Ok(text) => text.parse().map(Some).map_err(|_| {
            Error::refused("read", VARIABLE, format!("{text:?} is not a number of seconds below 2^32"))
        }),
    }
}

/// All that describes a file beside its name, kind and contents.
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
    pub const DIRECTORY: Attributes = Attributes::new(Meta::root(0o755));

    /// Of 1970 and without extended attributes.
    pub const fn new(meta: Meta) -> Attributes {
        Attributes { meta, mtime: Timestamp::from_seconds(0), xattrs: Vec::new() }
    }
}

/// What an extended attribute's name says about taking it to another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Travel {
    /// It belongs to the file.
    Kept,
    /// It belongs to the file, and only root can set it.
    KeptByRoot,
    /// It belongs to the machine it was made on: labels of security modules, `trusted.` data.
    Dropped,
    /// It would steer an overlay mount that has the file in one of its layers.
    Refused,
}

/// See [`Travel`].
pub fn travel(xattr: &[u8]) -> Travel {
    match xattr {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => {
            Travel::KeptByRoot
        }
        _ if xattr.starts_with(b"trusted.overlay.") || xattr.starts_with(b"user.overlay.") => Travel::Refused,
        _ if xattr.starts_with(b"user.") => Travel::Kept,
        _ => Travel::Dropped,
    }
}
