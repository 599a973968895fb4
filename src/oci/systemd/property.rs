//! Limits in systemd's words (systemd.resource-control(5)), from the files that a plan writes.

use super::wire::Writer;
use pipkin::plan::HostStep;

/// Files with one number or `max`, and what systemd calls it.
const NUMBERS: [(&str, &str); 9] = [
    ("memory.max", "MemoryMax"),
    ("memory.high", "MemoryHigh"),
    ("memory.low", "MemoryLow"),
    ("memory.min", "MemoryMin"),
    ("memory.swap.max", "MemorySwapMax"),
    ("pids.max", "TasksMax"),
    ("cpu.weight", "CPUWeight"),
    ("io.weight", "IOWeight"),
    ("cpu.max", "CPUQuotaPerSecUSec"),
];
/// Files with a list of numbers.
const LISTS: [(&str, &str); 2] = [("cpuset.cpus", "AllowedCPUs"), ("cpuset.mems", "AllowedMemoryNodes")];

/// Begins a property whose value has this type; the value comes next.
pub(super) fn begin<'w>(properties: &'w mut Writer, name: &str, kind: &[u8]) -> &'w mut Writer {
    properties.align(8).string(name.as_bytes()).signature(kind)
}

/// The properties for what `steps` write. Files that systemd does not know are left to us alone.
pub(super) fn limits(properties: &mut Writer, steps: &[HostStep<'_>]) {
    for step in steps {
        let (file, value) = match step {
            HostStep::SetLimit { file, value } => (*file, value.as_str()),
            HostStep::SetUnified { file, value } => (*file, *value),
            _ => continue,
        };
        let named = |table: &[(&str, &'static str)]| {
            table.iter().find(|(known, _)| *known == file).map(|(_, property)| *property)
        };
        if let Some(number) = number(file, value)
            && let Some(property) = named(&NUMBERS)
        {
            begin(properties, property, b"t").large(number);
        }
        if let Some(mask) = mask(value)
            && let Some(property) = named(&LISTS)
        {
            begin(properties, property, b"ay").array(1, &mut |bytes| bytes.bytes.extend_from_slice(&mask));
        }
    }
}

/// `max` is the largest number; a share of CPU time is told for a second, in microseconds.
fn number(file: &str, value: &str) -> Option<u64> {
    let whole = |text: &str| if text == "max" { Some(u64::MAX) } else { text.parse::<u64>().ok() };
    if file != "cpu.max" {
        return whole(value);
    }
    let (quota, period) = value.split_once(' ').unwrap_or((value, "100000"));
    match whole(quota)? {
        u64::MAX => Some(u64::MAX),
        quota => quota.saturating_mul(1_000_000).checked_div(period.parse().ok()?),
    }
}

/// A list such as `0-3,8` as a mask, the lowest eight in the first byte.
fn mask(list: &str) -> Option<Vec<u8>> {
    const MOST: usize = 1 << 13;
    let mut mask = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok().filter(|n| *n < MOST)?);
        for number in first..=last {
            mask.resize(mask.len().max(number / 8 + 1), 0);
            mask[number / 8] |= 1_u8 << (number % 8);
        }
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_properties() {
        assert_eq!(number("memory.max", "max"), Some(u64::MAX));
        assert_eq!(number("pids.max", "7"), Some(7));
        assert_eq!(number("cpu.max", "20000 50000"), Some(400_000));
        assert_eq!(number("cpu.max", "max 50000"), Some(u64::MAX));
        for (file, wrong) in [("cpu.max", "1 0"), ("cpu.max", ""), ("io.weight", "8:0 5")] {
            assert_eq!(number(file, wrong), None, "{wrong}");
        }
        assert_eq!(mask("0-2,9"), Some(vec![7, 2]));
        for wrong in ["", "a", "1-", "99999"] {
            assert_eq!(mask(wrong), None, "{wrong}");
        }
    }
}
