//! What was typed, sorted: options by their one true name, then operands.
//!
//! Duty: take the freedoms users know from getopt and docker (`--key=value`, `-it`, `-m64m`, other spellings, `--`,
//! `--switch=false`) so that nobody behind has to know them. The table of options is the verb's help text: what it
//! does not show cannot be typed. Pure; judges no value.
//!
//! Dangers: arguments need not be UTF-8. Operands are passed on untouched; the names and values of options must be
//! UTF-8, which is checked here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Where the options of a verb may stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Before the first operand; what follows it belongs to somebody else.
    OptionsFirst,
    /// Anywhere before `--`.
    Mixed,
}

/// One option as typed: its one name, with dashes, and its value if it takes one.
pub(crate) type Typed<'a> = (&'a str, Option<&'a str>);

/// Sorted arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sorted<'a> {
    /// The options in order.
    pub(crate) options: Vec<Typed<'a>>,
    /// Everything else.
    pub(crate) operands: Vec<&'a OsStr>,
    /// Whether help was asked for; then the rest means nothing.
    pub(crate) help_wanted: bool,
    /// Switches that were taken back: `--pretty=false`.
    pub(crate) off: Vec<&'a str>,
    /// The help text that all this was sorted by.
    help: &'a str,
}

impl<'a> Sorted<'a> {
    /// Whether the switch `name` was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.typed(name).next().is_some()
    }

    /// The value of option `name`; the last one when it was given more than once.
    pub(crate) fn last(&self, name: &str) -> Option<&'a str> {
        self.typed(name).last().flatten()
    }

    /// All values of option `name`.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.typed(name).flatten()
    }

    fn typed(&self, name: &str) -> impl Iterator<Item = Option<&'a str>> {
        // Whoever asks for an option that the help text does not show finds out in the first test that comes by.
        debug_assert!(find(self.help, name).is_ok_and(|option| option.name == name), "no option {name}");
        self.options.iter().filter(move |(typed, _)| *typed == name).map(|(_, value)| *value)
    }
}

/// One option of a help text.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// Its last spelling: `--memory-swap`.
    name: &'a str,
    /// Whether it takes a value.
    value: bool,
}

/// The spellings of the option that a line of a help text shows, and whether it takes a value. Such a line begins with
/// a dash: spellings between commas, then what stands for the value if it takes one, then two spaces.
fn option_of_line(line: &str) -> Option<(&str, bool)> {
    let line = line.trim_ascii_start();
    if !line.starts_with('-') {
        return None;
    }
    let end = line.as_bytes().windows(2).position(|pair| pair == b"  ").unwrap_or(line.len());
    let head = line.get(..end)?;
    Some(match head.rsplit_once(' ') {
        Some((names, word)) if !word.starts_with('-') => (names, true),
        _ => (head, false),
    })
}

/// Single spellings.
fn spellings(names: &str) -> impl DoubleEndedIterator<Item = &str> {
    names.split(',').map(str::trim_ascii_start)
}

/// The options that `help` shows, each with whether it takes a value.
#[cfg(test)]
pub(crate) fn options(help: &str) -> impl Iterator<Item = (&str, bool)> {
    let shown = help.lines().filter_map(option_of_line);
    shown.map(|(names, value)| (spellings(names).next_back().unwrap(), value))
}

fn find<'a>(help: &'a str, typed: &str) -> Result<Known<'a>, String> {
    for (names, value) in help.lines().filter_map(option_of_line) {
        if spellings(names).any(|spelling| spelling == typed) {
            return Ok(Known { name: spellings(names).next_back().unwrap_or(names), value });
        }
    }
    Err(["unknown option ", typed].concat())
}

/// Sorts the arguments of the verb whose help text is `help`.
///
/// # Errors
/// One line: an unknown option, a missing or superfluous value, text that must be UTF-8 and is not.
pub(crate) fn sort<'a>(help: &'a str, order: Order, args: &'a [OsString]) -> Result<Sorted<'a>, String> {
    let sorted =
        Sorted { options: Vec::new(), operands: Vec::new(), help_wanted: false, off: Vec::new(), help };
    let mut sorter = Sorter { rest: args.iter(), sorted };
    while let Some(arg) = sorter.rest.next() {
        match arg.as_bytes() {
            b"--" => break,
            [b'-', b'-', ..] => sorter.long_option(arg)?,
            [b'-', _, ..] => sorter.short_options(arg)?,
            _ => {
                sorter.sorted.operands.push(arg);
                if order == Order::OptionsFirst {
                    break;
                }
            }
        }
    }
    sorter.sorted.operands.extend(sorter.rest.map(OsString::as_os_str));
    Ok(sorter.sorted)
}

struct Sorter<'a> {
    rest: std::slice::Iter<'a, OsString>,
    sorted: Sorted<'a>,
}

impl<'a> Sorter<'a> {
    /// `--name`, `--name VALUE`, `--name=VALUE`.
    fn long_option(&mut self, arg: &'a OsStr) -> Result<(), String> {
        let bytes = arg.as_bytes();
        let end = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
        let (name, joined) = bytes.split_at_checked(end).unwrap_or((bytes, b""));
        let shown = String::from_utf8_lossy(name);
        if shown == "--help" {
            self.sorted.help_wanted = true;
            return Ok(());
        }
        let option = find(self.sorted.help, &shown)?;
        let value = match joined.get(1..) {
            Some(value) => Some(utf8(&shown, OsStr::from_bytes(value))?),
            None if option.value => Some(self.next_value(&shown)?),
            None => None,
        };
        if option.value {
            self.sorted.options.push((option.name, value));
            return Ok(());
        }
        match value {
            None | Some("true" | "1") => self.sorted.options.push((option.name, None)),
            Some("false" | "0") => {
                self.sorted.options.retain(|(name, _)| *name != option.name);
                self.sorted.off.push(option.name);
            }
            Some(_) => return Err([&shown, " is a switch: its value is true or false"].concat()),
        }
        Ok(())
    }

    /// `-i`, `-it`, `-m 64m`, `-m64m`, `-m=64m`, `-itm64m`.
    fn short_options(&mut self, arg: &'a OsStr) -> Result<(), String> {
        let mut rest = arg.as_bytes().get(1..).unwrap_or_default();
        while let Some((letter, joined)) = rest.split_first() {
            let typed = String::from_utf8_lossy(&[b'-', *letter]).into_owned();
            let option = find(self.sorted.help, &typed)?;
            rest = joined;
            if option.value {
                let value = match joined.strip_prefix(b"=").unwrap_or(joined) {
                    b"" => self.next_value(&typed)?,
                    value => utf8(&typed, OsStr::from_bytes(value))?,
                };
                self.sorted.options.push((option.name, Some(value)));
                break;
            }
            self.sorted.options.push((option.name, None));
        }
        Ok(())
    }

    fn next_value(&mut self, name: &str) -> Result<&'a str, String> {
        let value = self.rest.next().ok_or_else(|| ["option ", name, " needs a value"].concat())?;
        utf8(name, value)
    }
}

fn utf8<'a>(name: &str, value: &'a OsStr) -> Result<&'a str, String> {
    value.to_str().ok_or_else(|| ["the value of ", name, " is not UTF-8"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HELP: &str = "\
Usage: pipkin test [OPTIONS] IMAGE

Things:
  -i, --interactive        keep input
  -t, --tty                a terminal
  -m, --memory SIZE        how much - or -- less
      --swap, --memory-swap SIZE  both
      --rm                 remove
  -h, --hostname NAME      name
";

    fn os(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    fn sorted(args: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let args = os(args);
        let sorted = sort(HELP, Order::OptionsFirst, &args)?;
        let show = |(name, value): &Typed<'_>| [*name, "=", value.unwrap_or("")].concat();
        let operands = sorted.operands.iter().map(|operand| operand.to_str().unwrap().to_owned());
        Ok((sorted.options.iter().map(show).collect(), operands.collect()))
    }

    fn options(args: &[&str]) -> Vec<String> {
        sorted(args).unwrap().0
    }

    #[test]
    fn every_spelling_means_one_option() {
        for args in [
            &["--memory", "64m"][..],
            &["--memory=64m"],
            &["-m", "64m"],
            &["-m64m"],
            &["-m=64m"],
            &["-m64m", "--"],
        ] {
            assert_eq!(options(args), ["--memory=64m"], "{args:?}");
        }
        assert_eq!(options(&["--swap", "-1"]), ["--memory-swap=-1"]);
        assert_eq!(options(&["--memory-swap=-1"]), ["--memory-swap=-1"]);
        assert_eq!(options(&["-it"]), ["--interactive=", "--tty="]);
        assert_eq!(options(&["-itm64m"]), ["--interactive=", "--tty=", "--memory=64m"]);
        assert_eq!(options(&["-tm", "64m"]), ["--tty=", "--memory=64m"]);
        assert_eq!(options(&["--hostname="]), ["--hostname="]);
        assert_eq!(options(&["--hostname=a=b"]), ["--hostname=a=b"]);
        assert_eq!(options(&["-h", "--rm"]), ["--hostname=--rm"]);
    }

    #[test]
    fn the_last_value_counts_unless_all_are_asked_for() {
        let args = os(&["-m1", "--rm", "--memory", "2", "-i"]);
        let sorted = sort(HELP, Order::OptionsFirst, &args).unwrap();
        assert_eq!((sorted.last("--memory"), sorted.last("--hostname")), (Some("2"), None));
        assert!(sorted.all("--memory").eq(["1", "2"]));
        assert!(sorted.has("--rm") && sorted.has("--interactive") && !sorted.has("--tty"));
    }

    #[test]
    #[should_panic = "no option --swap"]
    fn nobody_can_ask_for_what_is_not_in_the_table() {
        sort(HELP, Order::Mixed, &[]).unwrap().has("--swap");
    }

    #[test]
    fn a_switch_can_be_taken_back() {
        assert_eq!(options(&["--rm=true"]), ["--rm="]);
        assert!(options(&["--rm", "--rm=false"]).is_empty());
        assert_eq!(options(&["-h", "--rm", "--rm=false"]), ["--hostname=--rm"]);
        assert!(sorted(&["--rm=maybe"]).is_err());
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let command = ["alpine", "sh", "-c", "--", "--rm", "-x"];
        let args: Vec<&str> = ["--rm"].iter().chain(&command).copied().collect();
        assert_eq!(sorted(&args).unwrap(), (vec!["--rm=".to_owned()], command.map(str::to_owned).to_vec()));
        assert_eq!(sorted(&["--", "-i", "--"]).unwrap().1, ["-i", "--"]);
        assert_eq!(sorted(&["-", "x"]).unwrap().1, ["-", "x"]);
        let args = os(&["a", "--rm", "b", "--", "--rm"]);
        let mixed = sort(HELP, Order::Mixed, &args).unwrap();
        assert_eq!(mixed.options, [("--rm", None)]);
        assert_eq!(mixed.operands, ["a", "b", "--rm"]);
    }

    #[test]
    fn mistakes_name_the_option() {
        for (args, message) in [
            (&["--foo"][..], "unknown option --foo"),
            (&["--foo=1"], "unknown option --foo"),
            (&["-itx"], "unknown option -x"),
            (&["--memory"], "option --memory needs a value"),
            (&["-m"], "option -m needs a value"),
            (&["-im"], "option -m needs a value"),
            (&["--less"], "unknown option --less"),
            (&["--SIZE"], "unknown option --SIZE"),
            (&["---rm"], "unknown option ---rm"),
        ] {
            assert_eq!(sorted(args).unwrap_err(), message);
        }
        assert!(sort(HELP, Order::Mixed, &os(&["--rm", "--help", "x"])).unwrap().help_wanted);
    }

    #[test]
    fn bytes_pass_where_they_may() {
        let raw = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        let args = [raw(b"--rm"), raw(b"/img\xff"), raw(b"-\xfe")];
        assert_eq!(sort(HELP, Order::OptionsFirst, &args).unwrap().operands, [&args[1], &args[2]]);
        for (args, message) in [
            (vec![raw(b"--memory=\xff")], "the value of --memory is not UTF-8"),
            (vec![raw(b"-m\xff")], "the value of -m is not UTF-8"),
            (vec![raw(b"-m"), raw(b"\xff")], "the value of -m is not UTF-8"),
            (vec![raw(b"--m\xff")], "unknown option --m\u{fffd}"),
            (vec![raw(b"-\xff")], "unknown option -\u{fffd}"),
        ] {
            assert_eq!(sort(HELP, Order::OptionsFirst, &args).unwrap_err(), message);
        }
    }

    fn any_argument() -> impl Strategy<Value = OsString> {
        let raw = proptest::collection::vec(any::<u8>(), 0..6);
        let text = "-{0,2}[imthx=]{0,4}|--memory(=x)?|--rm(=false)?|--|--help";
        prop_oneof![
            raw.prop_map(|bytes| OsStr::from_bytes(&bytes).to_owned()),
            text.prop_map(|text| OsString::from(&text)),
        ]
    }

    proptest! {
        #[test]
        fn operands_are_a_tail_of_what_was_typed(args in proptest::collection::vec(any_argument(), 0..8)) {
            if let Ok(sorted) = sort(HELP, Order::OptionsFirst, &args) {
                prop_assert!(args.iter().map(OsString::as_os_str).collect::<Vec<_>>().ends_with(&sorted.operands));
                for (name, value) in sorted.options {
                    prop_assert_eq!(find(HELP, name).unwrap().value, value.is_some());
                }
            }
        }

        #[test]
        fn a_command_is_never_touched(command in proptest::collection::vec(any_argument(), 0..8)) {
            let mut args = os(&["--rm", "-m1", "image"]);
            args.extend(command.iter().cloned());
            let sorted = sort(HELP, Order::OptionsFirst, &args).unwrap();
            prop_assert_eq!(&sorted.operands[1..], &command);
            prop_assert_eq!(sorted.options, [("--rm", None), ("--memory", Some("1"))]);
        }
    }
}
