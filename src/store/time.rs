//! Points in time, as text and back: RFC 3339 in UTC with nine digits of the second, which sorts as it stands.

use std::time::SystemTime;

/// Nanoseconds of a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
const DAY_S: u64 = 86_400;

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Length of a [`stamp`].
pub(crate) const STAMP: usize = 30;

/// `2026-01-02T03:04:05.678901234Z`.
pub(crate) fn stamp(ns: u64) -> [u8; STAMP] {
    let (seconds, fraction) = (ns / SECOND_NS, ns % SECOND_NS);
    let (year, month, day) = date(seconds / DAY_S);
    let clock = seconds % DAY_S;
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    for (number, first, last) in [
        (year, 0, 3),
        (month, 5, 6),
        (day, 8, 9),
        (clock / 3600, 11, 12),
        (clock / 60 % 60, 14, 15),
        (clock % 60, 17, 18),
        (fraction, 20, 28),
    ] {
        let mut rest = number;
        for digit in text.iter_mut().take(last + 1).skip(first).rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    text
}

/// Year, month and day of a day since 1970, by eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01 to 1970-01-01.
    const OFFSET: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days + OFFSET;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day_of_month)
}

/// Reads what a person gives as a point in time: `2026-01-02T03:04:05Z` with or without a fraction, in this zone or one
/// that `+02:00` stands for, or the date alone; seconds since 1970; or how long ago it is, as `90s`, `10m`, `1h30m`, `1d`. `None` for
/// anything else.
pub(crate) fn read(text: &str, now_ns: u64) -> Option<u64> {
    if let Some(length) = span_ns(text) {
        return Some(now_ns.saturating_sub(length));
    }
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(SECOND_NS);
    }
    let (day, clock) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let numbers = |text: &str, separator: char| -> Option<[u64; 3]> {
        let mut parts = text.split(separator).map(|part| part.parse().ok());
        let three = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(three)
    };
    let (clock, zone) = clock.split_at_checked(clock.find(['Z', '+', '-'])?)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let east_s = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign, zone) => {
            let [hours, minutes] = [zone.get(..2)?, zone.get(2..)?.strip_prefix(':')?];
            let [hours, minutes] = [hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?];
            let seconds = (hours * 60 + minutes) * 60;
            // Digits alone, and neither a zone further away than there are nor more minutes than an hour has.
            let plain = zone.len() == 5 && (0..15).contains(&hours) && (0..60).contains(&minutes);
            if plain && sign == "+" {
                seconds
            } else if plain && sign == "-" {
                -seconds
            } else {
                return None;
            }
        }
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(day, '-')?, numbers(clock, ':')?);
    let plain =
        (1970..3000).contains(&year) && hour < 24 && minute < 60 && second < 61 && fraction.len() <= 9;
    // The day is looked for, which spares a second rule of the calendar.
    let first = (year - 1970.min(year)) * 365;
    let days = (first..first + 1100).find(|days| date(*days) == (year, month, day)).filter(|_| plain)?;
    let digits = 9 - u32::try_from(fraction.len()).ok()?;
    let fraction = fraction.parse::<u64>().ok()? * 10_u64.pow(digits);
    let seconds = (days * DAY_S + hour * 3600 + minute * 60 + second).checked_add_signed(-east_s)?;
    Some(seconds * SECOND_NS + fraction)
}

/// A length of time, as `500ms`, `90s`, `1h30m`, `1d`, in nanoseconds. `None` without a unit.
pub(crate) fn span_ns(text: &str) -> Option<u64> {
    let units = [("ms", 1_000_000), ("s", SECOND_NS), ("m", 60 * SECOND_NS), ("h", 3600 * SECOND_NS)];
    let units = units.into_iter().chain([("d", DAY_S * SECOND_NS)]);
    let place = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, rest) = text.split_at_checked(place)?;
    let (unit, rest) = units.filter_map(|(word, ns)| Some((ns, rest.strip_prefix(word)?))).next()?;
    let first = number.parse::<u64>().ok()?.checked_mul(unit)?;
    if rest.is_empty() { Some(first) } else { first.checked_add(span_ns(rest)?) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(ns: u64) -> String {
        String::from_utf8(stamp(ns).to_vec()).unwrap()
    }

    #[test]
    fn known_days() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(text(951_782_400 * SECOND_NS), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(text(1_475_712_129_669_794_202), "2016-10-06T00:02:09.669794202Z");
        assert_eq!(text(4_107_542_399 * SECOND_NS), "2100-02-28T23:59:59.000000000Z");
        assert_eq!(text(4_107_542_400 * SECOND_NS), "2100-03-01T00:00:00.000000000Z");
    }

    #[test]
    fn people_give_times_in_many_ways() {
        let now = 1_475_712_129 * SECOND_NS;
        assert_eq!(read("2016-10-06T00:02:09Z", 0), Some(now));
        assert_eq!(read("2016-10-06T00:02:09.5Z", 0), Some(now + SECOND_NS / 2));
        assert_eq!(read("2016-10-06", 0), Some(1_475_712_000 * SECOND_NS));
        assert_eq!(read("1475712129", 0), Some(now));
        assert_eq!(read("2m", now), Some(now - 120 * SECOND_NS));
        assert_eq!(read("500ms", now), Some(now - SECOND_NS / 2));
        assert_eq!(read("1m30s", now), Some(now - 90 * SECOND_NS));
        assert_eq!(read("1h2m3s4ms", now), Some(now - 3_723_004_000_000));
        assert_eq!(read("2016-10-06T02:02:09+02:00", 0), Some(now));
        assert_eq!(read("2016-10-05T20:32:09.5-03:30", 0), Some(now + SECOND_NS / 2));
        assert_eq!(read("1970-01-01T00:00:00+01:00", now), None);
        for bad in ["1m30", "m30s", "30s 1m", "2016-10-06T00:00:00+2", "2016-10-06T00:00:00+02:60"] {
            assert_eq!(read(bad, now), None, "{bad}");
        }
        for bad in
            ["", "x", "2016-13-01", "2016-10-06T25:00:00Z", "2016-10-06T00:00:00", "-1", "1w", "m", "+1s"]
        {
            assert_eq!(read(bad, now), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(ns in 0..u64::MAX) {
            prop_assert_eq!(read(&text(ns), 0), Some(ns));
        }
    }
}
