//! Pipkin's init in a program of one's own: no std, no allocator, a fixed policy.
//!
//! `embed COMMAND [ARGUMENT …]` runs the command under the loop of an init, passes every signal on to its whole group,
//! turns the code of a stop by TERM into 0, and gives those who are left half a second to end.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use pipkin::error::Error;
use pipkin::init::console;
use pipkin::init::contain::contain;
use pipkin::init::option::{Options, Orphan, Remap, Scope};
use pipkin::init::payload;
use pipkin::sys::entry::Strings;
use pipkin::sys::process::{StrArray, StrPtr, exit};

const OPTIONS: Options =
    Options { scope: Scope::Group, orphan: Orphan::End, grace_ms: 500, ..Options::PLAIN };
/// Most words of the command.
const CAPACITY: usize = 32;
const USAGE: u8 = 125;

pipkin::entry_point!(start);

fn start(args: Strings) -> ! {
    let mut words = args.iter().skip(1);
    let Some(program) = words.next() else { exit(USAGE) };
    let mut list = [StrPtr::END; CAPACITY + 1];
    let mut count = 0;
    for (place, word) in list.iter_mut().zip([program].into_iter().chain(words)) {
        *place = StrPtr::new(word);
        count += 1;
    }
    // A list that is full has no end, and is refused.
    let Some(argv) = list.get(..=count).and_then(StrArray::new) else { exit(USAGE) };
    let path = b"/usr/local/bin:/usr/bin:/bin";
    let options = Options { remap: Remap::NONE.with(143, 0), ..OPTIONS };
    let outcome = contain(&options, || -> Error { payload::exec(program, argv, StrArray::EMPTY, path) });
    match outcome {
        Ok(outcome) => exit(outcome.code),
        Err(error) => {
            console::report(&error);
            exit(USAGE)
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(USAGE)
}
