//! Which of the known names somebody may have meant.

/// Most letters that may be wrong for a name to be offered.
const MOST_WRONG: usize = 3;

/// The one of `known` that `typed` is closest to in any case, if it is close: less than half of it is wrong.
pub(crate) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let most = MOST_WRONG.min(typed.len().saturating_sub(1) / 2);
    let distances = known.iter().map(|name| (distance(typed.as_bytes(), name.as_bytes()), *name));
    distances.filter(|(wrong, _)| *wrong <= most).min_by_key(|(wrong, _)| *wrong).map(|(_, name)| name)
}

/// How many letters have to be changed, put in or left out to make one of the other (Levenshtein's distance).
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.iter().enumerate() {
        let mut above_left = place;
        let mut left = place + 1;
        for (cell, wanted) in row.iter_mut().skip(1).zip(other) {
            let changed = above_left + usize::from(!letter.eq_ignore_ascii_case(wanted));
            above_left = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = place + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let of = |one: &str, other: &str| distance(one.as_bytes(), other.as_bytes());
        assert_eq!(of("", ""), 0);
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("abc", ""), 3);
        assert_eq!(of("NET_ADMIN", "net_admin"), 0);
        assert_eq!(of("NETADMIN", "NET_ADMIN"), 1);
        assert_eq!(of("kitten", "sitting"), 3);
    }

    #[test]
    fn only_what_is_close_is_offered() {
        const KNOWN: [&str; 4] = ["NET_ADMIN", "NET_RAW", "CHOWN", "BPF"];
        for (typed, meant) in [
            ("net-admin", Some("NET_ADMIN")),
            ("NETRAW", Some("NET_RAW")),
            ("chwon", Some("CHOWN")),
            ("BP", None),
            ("BPFF", Some("BPF")),
            ("FLY", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, &KNOWN), meant, "{typed}");
        }
    }
}
