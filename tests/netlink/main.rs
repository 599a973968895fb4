//! The netlink room against what the field's tools send and against the running kernel.
//!
//! A case that needs the kernel runs in a network namespace of its own; where that is not permitted it is counted
//! as skipped. So is a comparison with a tool that is not installed.

mod captured;
mod interface;
mod link;
mod namespace;
mod nftables;
mod tool;

use libtest_mimic::{Arguments, Completion, Trial};
use pipkin::error::Result;
use pipkin::netlink::batch::Batch;
use pipkin::netlink::socket::{Protocol, Socket};
use pipkin::netlink::wire::link::Name;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases =
        captured::cases().into_iter().chain(link::cases()).chain(interface::cases()).chain(nftables::cases());
    libtest_mimic::run(&arguments, cases.collect()).exit_code()
}

/// A case that runs everywhere.
fn case(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// A case that runs on a thread alone in a new network namespace.
fn kernel_case(name: &str, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || match namespace::in_new(test) {
        Ok(()) => Ok(Completion::Completed),
        Err(namespace::Refused) => {
            Ok(Completion::ignored_with("a new network namespace is not permitted here"))
        }
    })
}

fn open() -> Socket {
    Socket::open(Protocol::Route).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// Sends what `fill` puts into a batch over `buffer`.
fn commit<'a>(socket: &mut Socket, buffer: &'a mut [u8], fill: impl FnOnce(&mut Batch<'a>)) -> Result<()> {
    let mut batch = Batch::new(buffer);
    fill(&mut batch);
    socket.commit(&mut batch)
}
