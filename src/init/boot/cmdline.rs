//! The kernel command line: its words, and those that are for us. Pure.
//!
//! Source: lib/cmdline.c of the kernel for quoting, kernel-parameters.rst for the meaning of `--`.

use crate::init::option::End;
use core::ffi::CStr;
use heapless::Vec;

/// Longest kernel command line read, in bytes. The architectures' own limit is 2048 (COMMAND_LINE_SIZE).
pub const CAPACITY: usize = 4096;
/// Most `pipkin.env.` words.
pub const ENV_CAPACITY: usize = 64;
/// Most `pipkin.mount=` words.
pub const MOUNT_CAPACITY: usize = 16;

/// How long processes get to end at shutdown when nothing else is asked, in milliseconds.
const GRACE_MS: u32 = 5000;

/// What the kernel command line asks of us.
#[derive(Debug)]
pub struct Request<'a> {
    /// `pipkin.exec=PATH`: the program to run.
    pub exec: Option<&'a CStr>,
    /// `pipkin.end=poweroff|reboot|halt`: how the machine ends.
    pub end: Option<End>,
    /// `pipkin.rescue`: a shell when a step of the boot has failed.
    pub rescue: bool,
    /// `pipkin.hostname=NAME`.
    pub hostname: Option<&'a CStr>,
    /// `pipkin.grace=MS`: how long processes get to end at shutdown.
    pub grace_ms: u32,
    /// `pipkin.env.NAME=VALUE`, each as `NAME=VALUE`.
    pub env: Vec<&'a CStr, ENV_CAPACITY>,
    /// `reboot=k`: the machine ends by the keyboard controller's reset only, as Firecracker's does.
    pub ends_by_reset: bool,
    /// `root=DEVICE`: what an initramfs makes way for, as [`super::device`] finds it.
    pub root: Option<&'a CStr>,
    /// `rootfstype=NAME`: its file system, where it is not to be tried.
    pub root_kind: Option<&'a CStr>,
    /// `rootflags=OPTIONS`: for its file system.
    pub root_flags: Option<&'a CStr>,
    /// `rw`: whether the root is mounted to be written to; the last of `ro` and `rw` counts.
    pub root_writable: bool,
    /// `init=PATH`: the program that takes this one's place once the root is there.
    pub init: Option<&'a CStr>,
    /// `ip=…`: an interface, as [`super::network`] reads it.
    pub ip: Option<&'a CStr>,
    /// `pipkin.mount=SOURCE:TARGET:TYPE[:OPTIONS]`, each without the head.
    pub mounts: Vec<&'a CStr, MOUNT_CAPACITY>,
    /// `pipkin.vsock=PORT`: where on the host the exit status is told as well.
    pub status_port: Option<u32>,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self {
            exec: None,
            end: None,
            rescue: false,
            hostname: None,
            grace_ms: GRACE_MS,
            env: Vec::new(),
            ends_by_reset: false,
            root: None,
            root_kind: None,
            root_flags: None,
            root_writable: false,
            init: None,
            ip: None,
            mounts: Vec::new(),
            status_port: None,
        }
    }
}

/// The words of a command line, NUL-terminated in place.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    /// Splits the first `len` bytes of `buffer` at white space that is not quoted, taking off the quotes that the
    /// kernel takes off: those around a whole word and around a whole value. The buffer must be longer than the
    /// line; a line that fills it loses its last byte.
    #[must_use]
    pub fn split(buffer: &'a mut [u8], len: usize) -> Self {
        let mut len = len.min(buffer.len().saturating_sub(1));
        // A NUL cannot come from the kernel; should one be there, the line ends at it.
        len = buffer.iter().take(len).position(|byte| *byte == 0).unwrap_or(len);
        let (mut read, mut write) = (0_usize, 0_usize);
        while read < len {
            if at(buffer, read).is_ascii_whitespace() {
                read = read.saturating_add(1);
                continue;
            }
            let start = read;
            let mut quoted = false;
            while read < len && (quoted || !at(buffer, read).is_ascii_whitespace()) {
                quoted ^= at(buffer, read) == b'"';
                read = read.saturating_add(1);
            }
            write = take(buffer, start, read, write);
            read = read.saturating_add(1);
        }
        Self(buffer.get(..write).unwrap_or_default())
    }

    /// The words in order.
    pub fn iter(self) -> impl Iterator<Item = &'a CStr> {
        self.0.split_inclusive(|byte| *byte == 0).filter_map(|word| CStr::from_bytes_with_nul(word).ok())
    }

    /// The words for the kernel and its drivers: those before `--`.
    pub fn before_dashes(self) -> impl Iterator<Item = &'a CStr> {
        self.iter().take_while(|word| *word != c"--")
    }

    /// The number of words after `--`; none without it.
    #[must_use]
    pub fn after_dashes(self) -> Option<usize> {
        let mut words = self.iter();
        words.find(|word| *word == c"--")?;
        Some(words.count())
    }
}

fn at(buffer: &[u8], index: usize) -> u8 {
    buffer.get(index).copied().unwrap_or_default()
}

/// Copies the word at `start..end` down to `write`, without its outer quotes and with a NUL behind it, and answers
/// where the next one goes. There is room: a word is followed by white space or by the byte behind the line.
fn take(buffer: &mut [u8], start: usize, end: usize, write: usize) -> usize {
    let word = buffer.get(start..end).unwrap_or_default();
    let value = word
        .iter()
        .position(|byte| *byte == b'=')
        .map(|equals| start.saturating_add(equals).saturating_add(1));
    let opening = [Some(start), value].into_iter().flatten().find(|at_quote| at(buffer, *at_quote) == b'"');
    let last = end.saturating_sub(1);
    let closing = opening.filter(|opening| at(buffer, last) == b'"' && last > *opening).map(|_| last);
    let mut to = write;
    for from in start..end {
        if Some(from) == opening || Some(from) == closing {
            continue;
        }
        let byte = at(buffer, from);
        if let Some(slot) = buffer.get_mut(to) {
            *slot = byte;
        }
        to = to.saturating_add(1);
    }
    if let Some(slot) = buffer.get_mut(to) {
        *slot = 0;
    }
    to.saturating_add(1)
}

/// Reads what is for us. `refused` is told each word that starts with `pipkin.` and cannot be obeyed.
#[must_use]
pub fn read<'a>(words: Words<'a>, mut refused: impl FnMut(&'a CStr)) -> Request<'a> {
    let mut request = Request::default();
    for word in words.before_dashes() {
        if let Some(key) = tail(word, b"pipkin.") {
            if obey(&mut request, key).is_none() {
                refused(word);
            }
        } else {
            heed(&mut request, word);
        }
    }
    request
}

/// Takes one of the kernel's own words, where it says something to us, too.
fn heed<'a>(request: &mut Request<'a>, word: &'a CStr) {
    match word.to_bytes() {
        b"reboot=k" => request.ends_by_reset = true,
        b"rw" => request.root_writable = true,
        b"ro" => request.root_writable = false,
        _ => {
            let values: [(&[u8], &mut Option<&'a CStr>); 5] = [
                (b"root=", &mut request.root),
                (b"rootfstype=", &mut request.root_kind),
                (b"rootflags=", &mut request.root_flags),
                (b"init=", &mut request.init),
                (b"ip=", &mut request.ip),
            ];
            for (key, value) in values {
                if let Some(given) = tail(word, key) {
                    *value = Some(given).filter(|given| !given.is_empty());
                }
            }
        }
    }
}

/// Takes one word, of which `pipkin.` was cut off; none when it cannot be obeyed.
fn obey<'a>(request: &mut Request<'a>, key: &'a CStr) -> Option<()> {
    if key == c"rescue" {
        request.rescue = true;
    } else if let Some(path) = tail(key, b"exec=") {
        request.exec = Some(path).filter(|path| !path.is_empty());
        request.exec?;
    } else if let Some(name) = tail(key, b"hostname=") {
        request.hostname = Some(name).filter(|name| !name.is_empty());
        request.hostname?;
    } else if let Some(pair) = tail(key, b"env.") {
        let equals = pair.to_bytes().iter().position(|byte| *byte == b'=')?;
        if equals == 0 || request.env.push(pair).is_err() {
            return None;
        }
    } else if let Some(mount) = tail(key, b"mount=") {
        request.mounts.push(mount).ok()?;
    } else if let Some(port) = tail(key, b"vsock=") {
        request.status_port = Some(core::str::from_utf8(port.to_bytes()).ok()?.parse().ok()?);
    } else if let Some(end) = tail(key, b"end=") {
        request.end = Some(match end.to_bytes() {
            b"poweroff" => End::PowerOff,
            b"reboot" => End::Reboot,
            b"halt" => End::Halt,
            _ => return None,
        });
    } else if let Some(ms) = tail(key, b"grace=") {
        // Without any grace the loop would not wait for those it asked to end.
        request.grace_ms = core::str::from_utf8(ms.to_bytes()).ok()?.parse().ok().filter(|ms| *ms > 0)?;
    } else {
        return None;
    }
    Some(())
}

/// What follows `head` in `word`, if it starts so.
fn tail<'a>(word: &'a CStr, head: &[u8]) -> Option<&'a CStr> {
    let rest = word.to_bytes_with_nul().strip_prefix(head)?;
    CStr::from_bytes_with_nul(rest).ok()
}

/// The words of `argv`, the program's own name left out, that name a command to run.
///
/// The kernel hands over the words that nobody claimed, then those after `--`; the former are not meant for us.
/// Started by something else than the kernel, such as a container engine, all of them are the command.
#[must_use]
pub fn command<'a, 'b>(argv: &'b [&'a CStr], words: Words<'_>) -> &'b [&'a CStr] {
    let given = argv.get(1..).unwrap_or_default();
    if let Some(count) = words.after_dashes() {
        return given.get(given.len().saturating_sub(count)..).unwrap_or_default();
    }
    let unclaimed = given.iter().take_while(|word| words.iter().any(|other| other == **word)).count();
    given.get(unclaimed..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(line: &str, check: impl FnOnce(Words<'_>) -> T) -> T {
        let mut buffer = [0; CAPACITY];
        buffer[..line.len()].copy_from_slice(line.as_bytes());
        check(Words::split(&mut buffer, line.len()))
    }

    #[track_caller]
    fn splits(line: &str, expected: &[&CStr]) {
        with(line, |words| assert!(words.iter().eq(expected.iter().copied()), "{line}: {words:?}"));
    }

    #[test]
    fn words_are_split_as_the_kernel_splits_them() {
        splits("", &[]);
        splits(" \n", &[]);
        splits("quiet  console=ttyS0\n", &[c"quiet", c"console=ttyS0"]);
        splits("a=\"b c\" d", &[c"a=b c", c"d"]);
        splits("\"a b\" c", &[c"a b", c"c"]);
        splits("\"a=b c\" d", &[c"a=b c", c"d"]);
        splits("a=b\"c d\"e f", &[c"a=b\"c d\"e", c"f"]);
        splits("a=\"b", &[c"a=b"]);
        splits("\"", &[c""]);
        splits("\"\" x", &[c"", c"x"]);
    }

    #[test]
    fn a_line_that_fills_the_buffer_stays_inside_it() {
        let mut buffer = [b'x'; 8];
        assert!(Words::split(&mut buffer, 8).iter().eq([c"xxxxxxx"]));
    }

    #[test]
    fn our_words_are_read() {
        let line = "console=ttyS0 pipkin.exec=/bin/x pipkin.end=halt pipkin.env.A=\"b c\" pipkin.rescue \
                    pipkin.hostname=box pipkin.grace=20 reboot=k -- pipkin.end=reboot";
        with(line, |words| {
            let request = read(words, |word| panic!("refused {word:?}"));
            assert_eq!(request.exec, Some(c"/bin/x"));
            assert_eq!(request.end, Some(End::Halt));
            assert!(request.env.iter().copied().eq([c"A=b c"]));
            assert!(request.rescue && request.ends_by_reset);
            assert_eq!(request.hostname, Some(c"box"));
            assert_eq!(request.grace_ms, 20);
        });
    }

    #[test]
    fn the_kernels_words_that_say_something_to_us_are_read() {
        let line = "root=/dev/vda rootfstype=ext4 rootflags=noload rw init=/sbin/init ip=10.0.0.2 ro ip= \
                    pipkin.mount=a:/b:9p pipkin.vsock=1024";
        with(line, |words| {
            let request = read(words, |word| panic!("refused {word:?}"));
            assert_eq!(request.root, Some(c"/dev/vda"));
            assert_eq!((request.root_kind, request.root_flags), (Some(c"ext4"), Some(c"noload")));
            assert_eq!((request.root_writable, request.init), (false, Some(c"/sbin/init")));
            assert_eq!((request.ip, request.status_port), (None, Some(1024)));
            assert!(request.mounts.iter().copied().eq([c"a:/b:9p"]));
        });
    }

    #[test]
    fn what_cannot_be_obeyed_is_told() {
        for word in [
            "pipkin.exec=",
            "pipkin.end=later",
            "pipkin.env.=x",
            "pipkin.env.A",
            "pipkin.grace=0",
            "pipkin.grace=soon",
            "pipkin.hostname=",
            "pipkin.vsock=x",
            "pipkin.unknown",
        ] {
            with(word, |words| {
                let mut told = 0;
                let _request = read(words, |_| told += 1);
                assert_eq!(told, 1, "{word}");
            });
        }
    }

    #[test]
    fn the_command_is_what_follows_the_dashes() {
        let argv = [c"/init", c"splash", c"sh", c"-c", c"echo a"];
        let expected: &[&CStr] = &argv[2..];
        with("quiet splash -- sh -c \"echo a\"", |words| assert_eq!(command(&argv, words), expected));
        with("quiet splash --", |words| assert!(command(&argv[..2], words).is_empty()));
    }

    #[test]
    fn words_nobody_claimed_are_no_command() {
        with("quiet splash", |words| assert!(command(&[c"/init", c"splash"], words).is_empty()));
    }

    #[test]
    fn a_container_engine_gives_the_command_in_argv() {
        let argv = [c"/init", c"server", c"quiet"];
        with("quiet splash", |words| assert_eq!(command(&argv, words), &argv[1..]));
        with("", |words| assert_eq!(command(&argv, words), &argv[1..]));
        with("", |words| assert!(command(&[], words).is_empty()));
    }
}
