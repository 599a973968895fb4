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
use pipkin::error::{Error, Result};
use pipkin::netlink::batch::Batch;
use pipkin::netlink::nftables::generation;
use pipkin::netlink::socket::{Protocol, Socket};
use pipkin::netlink::wire::link::{Kind, Link, Name};
use rustix::io::Errno;
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

/// What of the kernel a case cannot do without.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// Bridges and veth pairs.
    Links,
    Nftables,
    /// Links and nftables with address translation.
    Both,
}

impl Need {
    /// What of it this kernel has not, as tried in the calling thread's network namespace, which is used up.
    fn missing(self) -> Option<&'static str> {
        let called = |kind, called| Link { kind: Some(kind), name: Some(name(called)), ..Link::default() };
        let links = [called(Kind::Bridge, "need0"), called(Kind::Veth, "need1")];
        let made =
            |link| commit(&mut open(), &mut [0; 256], |batch| pipkin::netlink::link::create(batch, link));
        let unsupported = |error: Error| error.errno == Errno::OPNOTSUPP;
        if matches!(self, Self::Links | Self::Both)
            && links.iter().any(|link| made(link).is_err_and(unsupported))
        {
            return Some("this kernel has no bridges or no veth pairs");
        }
        let answer = Socket::open(Protocol::Netfilter).and_then(|mut socket| generation(&mut socket));
        let wanted = matches!(self, Self::Nftables | Self::Both);
        (wanted && answer.is_err()).then_some("this kernel has no nf_tables")
    }
}

/// A case that runs on a thread alone in a new network namespace; without what it needs it is skipped.
fn kernel_case(name: &str, need: Need, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || {
        let missing = match namespace::in_new(|| need.missing()) {
            Ok(None) => match namespace::in_new(test) {
                Ok(()) => return Ok(Completion::Completed),
                Err(namespace::Refused) => "a second network namespace is not permitted here",
            },
            Ok(Some(missing)) => missing,
            Err(namespace::Refused) => "a new network namespace is not permitted here",
        };
        Ok(Completion::ignored_with(missing))
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
