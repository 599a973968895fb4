//! Devices of the host: those given to the container, and those whose traffic is bounded.

use super::quantity::{Why, size, unsigned};
use super::{Checked, refuse, volume};
use crate::cli::message::Failure;
use pipkin::spec::{Device, DeviceKind, DeviceLimit};
use rustix::fs::{FileType, Stat, major, minor};
use std::ffi::CStr;

/// `--device HOST[:INSIDE[:rwm]]`: a node of the same kind, number, mode and owner.
pub(super) fn device(text: &str) -> Checked<Device<'static>> {
    let (host, inside) = paths(text).map_err(|why| refuse("--device", text, why))?;
    let stat = look_at(host)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => DeviceKind::Character,
        FileType::BlockDevice => DeviceKind::Block,
        _ => return Err(refuse("--device", text, "it is not a device")),
    };
    Ok(Device {
        path: inside,
        source: super::keep::text(host).unwrap_or(inside),
        kind,
        major: major(stat.st_rdev),
        minor: minor(stat.st_rdev),
        mode: stat.st_mode & 0o777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    })
}

fn look_at(path: &str) -> Checked<Stat> {
    rustix::fs::stat(path).map_err(|errno| Failure::errno("use the device", path.as_bytes(), errno))
}

/// The node on the host and the path inside.
fn paths(text: &str) -> Result<(&str, &'static CStr), Why> {
    let mut parts = text.split(':');
    let host = parts.next().unwrap_or_default();
    let inside = parts.next().filter(|inside| !inside.is_empty()).unwrap_or(host);
    if parts.next().is_some_and(|access| access != "rwm") {
        return Err("single rights to a device are not enforced: leave them out");
    }
    if parts.next().is_some() || !host.starts_with('/') {
        return Err("give HOST or HOST:INSIDE, two absolute paths");
    }
    Ok((host, volume::place(inside)?))
}

/// What is bounded on a block device, as one of the four options says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bound {
    ReadBps,
    WriteBps,
    ReadIops,
    WriteIops,
}

/// Adds what option `name` says, `DEVICE:RATE`, to `limits`, to the entry of the same device if there is one.
pub(super) fn limit(name: &str, text: &str, bound: Bound, limits: &mut Vec<DeviceLimit>) -> Checked<()> {
    let (path, rate) = split(text, bound).map_err(|why| refuse(name, text, why))?;
    let stat = look_at(path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
        return Err(refuse(name, text, "it is not a block device"));
    }
    set(limits, (major(stat.st_rdev), minor(stat.st_rdev)), bound, rate);
    Ok(())
}

fn split(text: &str, bound: Bound) -> Result<(&str, u64), Why> {
    let (path, rate) = text.rsplit_once(':').ok_or("give DEVICE:RATE, as /dev/sda:1m")?;
    if !path.starts_with('/') {
        return Err("the device must be an absolute path, as /dev/sda");
    }
    let rate = match bound {
        Bound::ReadBps | Bound::WriteBps => size(rate)?,
        Bound::ReadIops | Bound::WriteIops => {
            unsigned(rate).filter(|rate| *rate > 0).ok_or("give a number of operations from 1 on")?
        }
    };
    Ok((path, rate))
}

fn set(limits: &mut Vec<DeviceLimit>, (major, minor): (u32, u32), bound: Bound, rate: u64) {
    let place = limits.iter().position(|limit| (limit.major, limit.minor) == (major, minor));
    let place = place.unwrap_or_else(|| {
        let (read_bps, write_bps, read_iops, write_iops) = (None, None, None, None);
        limits.push(DeviceLimit { major, minor, read_bps, write_bps, read_iops, write_iops });
        limits.len() - 1
    });
    let Some(limit) = limits.get_mut(place) else { return };
    let field = match bound {
        Bound::ReadBps => &mut limit.read_bps,
        Bound::WriteBps => &mut limit.write_bps,
        Bound::ReadIops => &mut limit.read_iops,
        Bound::WriteIops => &mut limit.write_iops,
    };
    *field = Some(rate);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_taken_as_the_host_has_it() {
        let null = device("/dev/null").unwrap();
        assert_eq!((null.kind, null.major, null.minor), (DeviceKind::Character, 1, 3));
        assert_eq!(null.path, c"/dev/null");
        assert_eq!(device("/dev/null:/dev/nil:rwm").unwrap().path, c"/dev/nil");
        let absent = Failure::errno("use the device", b"/dev/not/there", rustix::io::Errno::NOENT);
        assert_eq!(device("/dev/not/there").unwrap_err(), absent);
        for text in [
            "",
            "null",
            "/dev/null:x",
            "/dev/null:/x:r",
            "/dev/null:/x:rwm:y",
            "/dev",
            "/dev/null:/../x",
            ":/dev/x",
        ] {
            assert!(device(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_of_one_device_come_together() {
        let mut limits = Vec::new();
        set(&mut limits, (8, 0), Bound::ReadBps, 1);
        set(&mut limits, (8, 16), Bound::ReadBps, 2);
        set(&mut limits, (8, 0), Bound::WriteIops, 3);
        assert_eq!(limits.len(), 2);
        assert_eq!((limits[0].read_bps, limits[0].write_iops, limits[0].write_bps), (Some(1), Some(3), None));
        assert_eq!(split("/dev/a:b:1m", Bound::WriteBps), Ok(("/dev/a:b", 1 << 20)));
        for (text, bound) in [
            ("/dev/sda", Bound::ReadBps),
            ("sda:1m", Bound::ReadBps),
            ("/dev/sda:", Bound::ReadBps),
            ("/dev/sda:0", Bound::ReadIops),
            ("/dev/sda:1m", Bound::ReadIops),
        ] {
            assert!(split(text, bound).is_err(), "{text}");
        }
        assert!(limit("--device-read-bps", "/dev/null:1m", Bound::ReadBps, &mut limits).is_err());
    }
}
