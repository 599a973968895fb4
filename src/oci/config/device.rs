//! Device nodes, and which devices may be used (config-linux.md, devices and allowed device list).

use super::c_text;
use crate::oci::json::{Fault, Value};
use pipkin::spec::{Device, DeviceKind, DeviceRule};

/// The nodes to make beside the usual ones.
pub(super) fn devices(value: &Value<'_>) -> Result<Vec<Device<'static>>, Fault> {
    let mut devices = Vec::new();
    for given in value.elements("linux.devices") {
        let kind = match given.text_at("type").unwrap_or_default() {
            "c" | "u" => DeviceKind::Character,
            "b" => DeviceKind::Block,
            "p" => DeviceKind::Fifo,
            _ => return Err(given.fault("type must be c, b, u or p")),
        };
        let number = |name| match given.signed_at(name) {
            None if kind == DeviceKind::Fifo => Ok(0),
            None => Err(given.fault([name, " is missing"].concat())),
            Some(number) => u32::try_from(number)
                .map_err(|_| given.fault([name, " is not a number of a device"].concat())),
        };
        let id = |name| given.number_at(name).unwrap_or_default() as u32;
        devices.push(Device {
            path: given.at("path").map_or(Ok(c""), c_text)?,
            source: given.at("path").map_or(Ok(c""), c_text)?,
            kind,
            major: number("major")?,
            minor: number("minor")?,
            mode: given.number_at("fileMode").map_or(0o666, |mode| mode as u32 & 0o7777),
            uid: id("uid"),
            gid: id("gid"),
        });
    }
    Ok(devices)
}

/// What a container can always use: the nodes that it has, and making nodes, which without the rest is harmless.
const ALWAYS: [(u32, Option<u32>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// Reads the rules of `resources`, in order.
///
/// # Errors
/// A word that means nothing.
pub(super) fn device_rules(resources: &Value<'_>) -> Result<Vec<DeviceRule>, Fault> {
    let mut rules = Vec::new();
    for given in resources.elements("devices") {
        let block = match given.text_at("type").unwrap_or("a") {
            "a" | "" => None,
            "c" => Some(false),
            "b" => Some(true),
            _ => return Err(given.fault("type must be a, b or c")),
        };
        // Below zero is any, as engines write it.
        let number = |name| given.signed_at(name).and_then(|number| u32::try_from(number).ok());
        let mut access = 0;
        for letter in given.text_at("access").unwrap_or("rwm").chars() {
            access |= match letter {
                'm' => 1,
                'r' => 2,
                'w' => 4,
                _ => return Err(given.fault("access is made of r, w and m")),
            };
        }
        let access = if access == 0 { 7 } else { access };
        let (major, minor) = (number("major"), number("minor"));
        rules.push(DeviceRule { allow: given.is_true("allow"), block, major, minor, access });
    }
    if !rules.is_empty() {
        let plain = |(major, minor): &(u32, Option<u32>)| DeviceRule {
            allow: true,
            block: Some(false),
            major: Some(*major),
            minor: *minor,
            access: 7,
        };
        rules.push(DeviceRule { allow: true, block: None, major: None, minor: None, access: 1 });
        rules.extend(ALWAYS.iter().map(plain));
    }
    Ok(rules)
}
