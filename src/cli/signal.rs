//! Signals as people write them: `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `RTMAX-1`.

/// The names of signals 1 to 31 on x86_64 and aarch64 (signal(7)).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// Other names for some of them.
const ALIASES: [(&str, u8); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];

/// The first real-time signal that C programs can use; their libraries keep 32 and 33.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

/// The number, 1 to 64, of the signal written as `text`, in any case.
pub(crate) fn number(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return u8::try_from(index + 1).ok();
    }
    if let Some((_, number)) = ALIASES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => RTMIN,
        (_, Some("")) => RTMAX,
        (Some(offset), _) => RTMIN.checked_add(offset.strip_prefix('+')?.parse().ok()?)?,
        (_, Some(offset)) => RTMAX.checked_sub(offset.strip_prefix('-')?.parse().ok()?)?,
        _ => return None,
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_signal_is_understood() {
        for (text, expected) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("15", 15),
            ("HUP", 1),
            ("SYS", 31),
            ("CLD", 17),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMIN+30", 64),
            ("RTMAX", 64),
            ("SIGRTMAX-1", 63),
            ("64", 64),
        ] {
            assert_eq!(number(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "", "0", "65", "-1", "256", "SIG", "TERMX", "RTMIN+31", "RTMIN-1", "RTMAX-31", "RTMAX+1",
            "RTMIN+", "15 ",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
