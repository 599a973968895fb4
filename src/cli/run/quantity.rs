//! Numbers as people type them: sizes, fractions of CPUs, lists of CPUs.
//!
//! Pure. An error is the end of a sentence that began with the option and the value: what would be right.

use pipkin::spec::{CpuMax, Limit, weight_of_shares};

/// Why a value is refused.
pub(super) type Why = &'static str;

/// Largest size taken: the kernel counts in signed 64-bit numbers of bytes.
const SIZE_MAX: u64 = i64::MAX as u64;
/// Most CPUs a kernel can be built for (`NR_CPUS`, arch/x86/Kconfig).
const CPUS_MAX: u64 = 8192;

/// A size in bytes: a number, maybe with a fraction, and one of docker's units, all powers of 1024.
pub(in crate::cli) fn size(text: &str) -> Result<u64, Why> {
    const WHY: Why = "give a size in bytes or with k, m, g, t or p, as 64m";
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).ok_or(WHY)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(WHY),
    };
    let (whole, thousandths) = decimal::<3>(number).ok_or(WHY)?;
    let unit = 1_u64 << shift;
    // At most 999 * 2^50.
    let fraction = thousandths * unit / 1000;
    match whole.checked_mul(unit).and_then(|bytes| bytes.checked_add(fraction)) {
        Some(0) => Err("a size must be more than 0"),
        Some(bytes) if bytes <= SIZE_MAX => Ok(bytes),
        _ => Err("that is more than any machine has: give less than 8388608t"),
    }
}

/// `12`, `1.5`, `.5`, `2.`: the whole part, and the fraction in units of 10^-`PLACES`, cut there.
fn decimal<const PLACES: usize>(text: &str) -> Option<(u64, u64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut digits = fraction.bytes();
    let mut scaled = 0;
    for _ in 0..PLACES {
        scaled =
            scaled * 10 + u64::from(digits.next().unwrap_or(b'0').checked_sub(b'0').filter(|d| *d < 10)?);
    }
    let rest_is_digits = digits.all(|digit| digit.is_ascii_digit());
    let whole = if whole.is_empty() { 0 } else { unsigned(whole)? };
    rest_is_digits.then_some((whole, scaled))
}

/// Digits only: no sign, no blank.
pub(super) fn unsigned(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// A number of things of which -1 means any.
pub(super) fn count(text: &str) -> Result<Limit, Why> {
    match unsigned(text) {
        Some(number) if number > 0 && number <= SIZE_MAX => Ok(Limit::At(number)),
        _ if text == "-1" => Ok(Limit::Max),
        _ => Err("give a number from 1 on, or -1 for no bound"),
    }
}

/// `cpu.weight` and `io.weight`.
pub(super) fn weight(text: &str) -> Result<u16, Why> {
    let weight = unsigned(text).and_then(|weight| u16::try_from(weight).ok());
    weight.filter(|weight| (1..=10_000).contains(weight)).ok_or("give a number from 1 to 10000")
}

/// CPU time in CPUs: `0.5` is 50 ms of every 100 ms.
pub(super) fn cpus(text: &str) -> Result<CpuMax, Why> {
    const WHY: Why = "give a number of CPUs from 0.01 on, as 0.5";
    // Of the usual period, 10^5 µs, five places are whole microseconds.
    let (whole, us) = decimal::<5>(text).ok_or(WHY)?;
    if whole > CPUS_MAX {
        return Err("no machine has that many CPUs");
    }
    let quota = whole * u64::from(CpuMax::PERIOD_US) + us;
    // The kernel takes no quota below 1 ms.
    if quota < 1_000 {
        return Err(WHY);
    }
    Ok(CpuMax { quota: Limit::At(quota), period_us: CpuMax::PERIOD_US })
}

/// CPU time of each period in microseconds; -1 is any. The kernel takes no quota below 1 ms.
pub(super) fn quota(text: &str) -> Result<Limit, Why> {
    match count(text) {
        Ok(Limit::At(..1_000)) | Err(_) => Err("give microseconds from 1000 on, or -1 for no bound"),
        quota => quota,
    }
}

/// The length of a period of CPU time in microseconds.
pub(super) fn period(text: &str) -> Result<u32, Why> {
    let period = unsigned(text).and_then(|us| u32::try_from(us).ok());
    period.filter(|us| (1_000..=1_000_000).contains(us)).ok_or("give microseconds from 1000 to 1000000")
}

/// CPU shares, as a weight.
pub(super) fn shares(text: &str) -> Result<u16, Why> {
    let shares = unsigned(text).filter(|shares| (2..=1 << 18).contains(shares));
    shares.map(weight_of_shares).ok_or("give a number from 2 to 262144")
}

/// A list of CPUs or memory nodes: numbers and ascending ranges between commas.
pub(super) fn list(text: &str) -> Result<&str, Why> {
    let number = |text: &str| unsigned(text).filter(|number| *number < CPUS_MAX);
    let part = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => number(part).is_some(),
    };
    if text.split(',').all(part) { Ok(text) } else { Err("give numbers and ranges, as 0-3,8") }
}

/// `oom_score_adj` (proc_pid_oom_score_adj(5)).
pub(super) fn oom_score(text: &str) -> Result<i16, Why> {
    let score = text.parse().ok().filter(|score| (-1000..=1000).contains(score) && !text.starts_with('+'));
    score.ok_or("give a number from -1000 to 1000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, bytes) in [
            ("1", 1),
            ("64m", 64 << 20),
            ("64M", 64 << 20),
            ("64mb", 64 << 20),
            ("64MiB", 64 << 20),
            ("512k", 512 << 10),
            ("512b", 512),
            ("1g", 1 << 30),
            ("1.5g", 3 << 29),
            (".5k", 512),
            ("2.k", 2048),
            ("0.0015k", 1),
            ("1t", 1 << 40),
            ("1p", 1 << 50),
            ("9223372036854775807", i64::MAX as u64),
            ("007", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "m",
            ".",
            ".m",
            "-1",
            "+1",
            "0",
            "0m",
            "0.0001k",
            "64q",
            "64 m",
            " 64m",
            "6 4",
            "1e3",
            "0x10",
            "64mm",
            "1..5g",
            "1.5.2",
            "9223372036854775808",
            "8192p",
            "18446744073709551616",
            "99999999999999999999p",
            "６４m",
            "1.5é",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpus_are_microseconds_of_a_period() {
        for (text, quota) in [
            ("1", 100_000),
            ("0.5", 50_000),
            (".5", 50_000),
            ("1.5", 150_000),
            ("0.01", 1_000),
            ("2.00000999", 200_000),
            ("128", 12_800_000),
        ] {
            assert_eq!(cpus(text).unwrap().quota, Limit::At(quota), "{text}");
            assert_eq!(cpus(text).unwrap().period_us, 100_000);
        }
        for text in
            ["", ".", "0", "0.0", "0.009", "-1", "+1", "1,5", "x", "1.x", "1.000000x", "1e3", "8193", "inf"]
        {
            assert!(cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_and_weights_have_bounds() {
        assert_eq!(count("5"), Ok(Limit::At(5)));
        assert_eq!(count("-1"), Ok(Limit::Max));
        for text in ["", "0", "-2", "+5", "5.0", "9223372036854775808", "max"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert_eq!((weight("1"), weight("10000")), (Ok(1), Ok(10_000)));
        for text in ["", "0", "10001", "65537", "-1", "1.5"] {
            assert!(weight(text).is_err(), "{text}");
        }
        assert_eq!((oom_score("-1000"), oom_score("0")), (Ok(-1000), Ok(0)));
        for text in ["", "1001", "-1001", "+1", "65536", "1.0"] {
            assert!(oom_score(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_are_numbers_and_ranges() {
        for text in ["0", "0-3", "0-3,8", "1,1", "5-5", "0,2,4-6"] {
            assert_eq!(list(text), Ok(text));
        }
        for text in ["", ",", "0,", "-3", "3-", "3-1", "a", "0-1-2", "0 1", "9999", "0\n"] {
            assert!(list(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_parser(text in ".{0,12}") {
            if let Ok(bytes) = size(&text) {
                prop_assert!(bytes > 0 && bytes <= i64::MAX as u64);
            }
            if let Ok(CpuMax { quota: Limit::At(quota), .. }) = cpus(&text) {
                prop_assert!(quota >= 1000);
            }
            prop_assert_eq!(list(&text).is_ok(), list(&text) == Ok(text.as_str()));
        }

        #[test]
        fn a_plain_number_is_that_many_bytes(bytes in 1..=i64::MAX as u64) {
            prop_assert_eq!(size(&bytes.to_string()), Ok(bytes));
        }
    }
}
