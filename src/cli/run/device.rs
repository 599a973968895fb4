//! Devices of the host: those given to the container, and those whose traffic is bounded.

use super::quantity::{Why, size, unsigned};
use super::{Checked, refuse, volume};
use crate::cli::message::Failure;
use pipkin::spec::{CapabilitySet, DEFAULT_DEVICES, Device, DeviceKind, DeviceLimit, DeviceRule};
use rustix::fs::{FileType, Stat, major, minor};
use std::ffi::CStr;

/// The bits of a right, as the kernel's device controller has them.
const MAKE: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MAKE | READ | WRITE;

/// What leaves every device to the container.
const EVERY: DeviceRule = DeviceRule { allow: true, block: None, major: None, minor: None, access: ALL };

/// `--device HOST[:INSIDE][:RIGHTS]`: a node of the same kind, number, mode and owner. What the rights lack is added to
/// `rules`, for a container that has `capabilities`.
pub(super) fn device(
    text: &str,
    capabilities: CapabilitySet,
    rules: &mut Vec<DeviceRule>,
) -> Checked<Device<'static>> {
    let refused = |why| refuse("--device", text, why);
    let (host, inside, rights) = parts(text).map_err(refused)?;
    let stat = look_at(host)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => DeviceKind::Character,
        FileType::BlockDevice => DeviceKind::Block,
        _ => return Err(refused("it is not a device")),
    };
    let device = Device {
        path: inside,
        source: super::keep::text(host).unwrap_or(inside),
        kind,
        major: major(stat.st_rdev),
        minor: minor(stat.st_rdev),
        mode: stat.st_mode & 0o777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    };
    limit_use(&device, rights, capabilities, rules).map_err(refused)?;
    Ok(device)
}

/// Adds the rule that takes what `rights` lack. It is never the right to make nodes, by which the container's own are
/// made once the rules hold: that one is CAP_MKNOD's.
fn limit_use(
    device: &Device<'_>,
    rights: u8,
    capabilities: CapabilitySet,
    rules: &mut Vec<DeviceRule>,
) -> Result<(), Why> {
    if rights & MAKE == 0
        && CapabilitySet::number(b"MKNOD").is_some_and(|number| capabilities.contains(number))
    {
        return Err("with the capability MKNOD nodes can be made: add m to the rights, or drop it");
    }
    let access = ALL & !rights & !MAKE;
    if access == 0 {
        return Ok(());
    }
    let (block, number) = (device.kind == DeviceKind::Block, (device.major, device.minor));
    if !block && DEFAULT_DEVICES.iter().any(|usual| (usual.major, usual.minor) == number) {
        return Err("every container can read and write this one: leave the rights out");
    }
    if rules.is_empty() {
        rules.push(EVERY);
    }
    let (block, major, minor) = (Some(block), Some(number.0), Some(number.1));
    rules.push(DeviceRule { allow: false, block, major, minor, access });
    Ok(())
}

fn look_at(path: &str) -> Checked<Stat> {
    rustix::fs::stat(path).map_err(|errno| Failure::errno("use the device", path.as_bytes(), errno))
}

/// The node on the host, the path inside, and the rights.
fn parts(text: &str) -> Result<(&str, &'static CStr, u8), Why> {
    let wrong = "give HOST[:INSIDE][:RIGHTS], two absolute paths and letters of rwm";
    let (paths, rights) = match text.rsplit_once(':') {
        Some((paths, letters)) if !letters.is_empty() && !letters.starts_with('/') => {
            (paths, rights(letters).ok_or(wrong)?)
        }
        _ => (text, ALL),
    };
    let (host, inside) = paths.split_once(':').unwrap_or((paths, ""));
    if inside.contains(':') || !host.starts_with('/') {
        return Err(wrong);
    }
    Ok((host, volume::place(if inside.is_empty() { host } else { inside })?, rights))
}

/// Each of the letters `r`, `w` and `m` once at most.
fn rights(letters: &str) -> Option<u8> {
    let mut rights = 0;
    for letter in letters.bytes() {
        let right = match letter {
            b'm' => MAKE,
            b'r' => READ,
            b'w' => WRITE,
            _ => return None,
        };
        if rights & right != 0 {
            return None;
        }
        rights |= right;
    }
    Some(rights)
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
        let (none, mut rules) = (CapabilitySet::EMPTY, Vec::new());
        let mut device = |text| device(text, none, &mut rules);
        let null = device("/dev/null").unwrap();
        assert_eq!((null.kind, null.major, null.minor), (DeviceKind::Character, 1, 3));
        assert_eq!(null.path, c"/dev/null");
        assert_eq!(device("/dev/null:/dev/nil:rwm").unwrap().path, c"/dev/nil");
        let absent = Failure::errno("use the device", b"/dev/not/there", rustix::io::Errno::NOENT);
        assert_eq!(device("/dev/not/there").unwrap_err(), absent);
        for text in ["", "null", "/dev/null:x", "/dev/null:/x:rwm:y", "/dev", "/dev/null:/../x", ":/dev/x"] {
            assert!(device(text).is_err(), "{text}");
        }
        assert!(rules.is_empty());
    }

    #[test]
    fn parts_are_told_by_their_first_letter() {
        for (text, inside, rights) in [
            ("/dev/a", c"/dev/a", 7),
            ("/dev/a:", c"/dev/a", 7),
            ("/dev/a:rm", c"/dev/a", 3),
            ("/dev/a:/b:w", c"/b", 4),
            ("/dev/a::m", c"/dev/a", 1),
            ("/dev/a:/b:mwr", c"/b", 7),
        ] {
            assert_eq!(parts(text), Ok(("/dev/a", inside, rights)), "{text}");
        }
        for text in [
            "/dev/a:rr",
            "/dev/a:rx",
            "/dev/a:b:r",
            "/dev/a:/b:/c",
            "/dev/a:/b:",
            "/dev/a:/b:r:",
            "/dev/a:/b:R",
            "a:r",
        ] {
            assert!(parts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_given_is_taken_but_for_making() {
        let fuse = Device { major: 10, minor: 229, ..DEFAULT_DEVICES[0] };
        let mknod = CapabilitySet::EMPTY.with(CapabilitySet::number(b"mknod").unwrap());
        let judge = |device: &Device<'_>, rights, capabilities| {
            let mut rules = Vec::new();
            limit_use(device, rights, capabilities, &mut rules).map(|()| rules)
        };
        let none = CapabilitySet::EMPTY;
        for (rights, taken) in
            [(7, 0), (6, 0), (2, WRITE), (3, WRITE), (4, READ), (5, READ), (1, READ | WRITE)]
        {
            let rules = judge(&fuse, rights, none).unwrap();
            let rule = DeviceRule {
                allow: false,
                block: Some(false),
                major: Some(10),
                minor: Some(229),
                access: taken,
            };
            let expected = if taken == 0 { vec![] } else { vec![EVERY, rule] };
            assert_eq!(rules, expected, "{rights}");
            assert_eq!(judge(&fuse, rights, mknod).is_ok(), rights & MAKE != 0, "{rights}");
        }
        assert!(judge(&DEFAULT_DEVICES[1], 2, none).is_err());
        assert!(judge(&DEFAULT_DEVICES[1], 6, none).is_ok());
        let disk = Device { kind: DeviceKind::Block, ..DEFAULT_DEVICES[1] };
        assert_eq!(judge(&disk, 2, none).unwrap()[1].block, Some(true));
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
