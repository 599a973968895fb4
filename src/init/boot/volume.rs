//! Mounts that the kernel command line asks for: `pipkin.mount=SOURCE:TARGET:TYPE[:OPTION,…]`, the source by its path or
//! as [`device`] finds it.

use super::device;
use crate::error::{Error, Result};
use core::ffi::CStr;
use heapless::Vec;
use rustix::fs::{Mode, mkdir};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

/// Longest options that are the file system's own.
const CAPACITY: usize = 256;

/// Options that are the same for every file system (mount(8)).
const FLAGS: [(&[u8], MountFlags); 6] = [
    (b"ro", MountFlags::RDONLY),
    (b"nosuid", MountFlags::NOSUID),
    (b"nodev", MountFlags::NODEV),
    (b"noexec", MountFlags::NOEXEC),
    (b"noatime", MountFlags::NOATIME),
    (b"sync", MountFlags::SYNCHRONOUS),
];

/// Mounts one, making the directory.
///
/// # Errors
/// `EINVAL` for another form; those of mount(2).
pub(super) fn attach(text: &[u8]) -> Result<()> {
    let failed = |errno| Error::on("mount", text, errno);
    let (source, target, kind, options) = split(text).ok_or_else(|| failed(Errno::INVAL))?;
    let mut path = Vec::new();
    let source = device::wait_for(source, &mut path).map_err(failed)?;
    let (flags, data) = understand(options).ok_or_else(|| failed(Errno::NAMETOOLONG))?;
    match mkdir(target, Mode::from_raw_mode(0o755)) {
        // A read-only root has the directory or has it not: the mount itself will tell.
        Ok(()) | Err(Errno::EXIST | Errno::ROFS) => {}
        Err(errno) => return Err(Error::on("make directory", target, errno)),
    }
    let data = CStr::from_bytes_until_nul(&data).map_err(|_| failed(Errno::INVAL))?;
    mount(source, target, kind, flags, data).map_err(failed)
}

type Fields<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a [u8]);

fn split(text: &[u8]) -> Option<Fields<'_>> {
    let mut fields = text.splitn(4, |byte| *byte == b':');
    let (source, target, kind) = (fields.next()?, fields.next()?, fields.next()?);
    let whole = target.starts_with(b"/") && !kind.is_empty();
    whole.then_some((source, target, kind, fields.next().unwrap_or_default()))
}

/// The flags among the options, and the rest as the file system takes it, NUL-terminated.
fn understand(options: &[u8]) -> Option<(MountFlags, Vec<u8, CAPACITY>)> {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options.split(|byte| *byte == b',').filter(|option| !option.is_empty()) {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == option) {
            flags |= *flag;
            continue;
        }
        if !data.is_empty() {
            data.push(b',').ok()?;
        }
        data.extend_from_slice(option).ok()?;
    }
    data.push(0).ok()?;
    Some((flags, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_understood() {
        let (source, target, kind, options) = split(b"/dev/vdb:/data:ext4:ro,x=a:b,noexec,y").unwrap();
        assert_eq!((source, target, kind), (&b"/dev/vdb"[..], &b"/data"[..], &b"ext4"[..]));
        let (flags, data) = understand(options).unwrap();
        assert_eq!(flags, MountFlags::RDONLY | MountFlags::NOEXEC);
        assert_eq!(data, b"x=a:b,y\0");
        assert_eq!(split(b"share:/mnt:virtiofs").unwrap().3, b"");
        assert!(split(b"share:/mnt").is_none() && split(b"a:b:c").is_none() && split(b"a:/b:").is_none());
        assert!(understand(&[b'x'; CAPACITY]).is_none());
    }
}
