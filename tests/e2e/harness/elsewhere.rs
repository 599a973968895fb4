//! Another host: a network namespace of its own, one cable away from the enclosure's.

use pipkin::netlink::batch::Batch;
use pipkin::netlink::interface::{self, Interface};
use pipkin::netlink::link;
use pipkin::netlink::socket::{Protocol, Socket};
use pipkin::netlink::wire::ip::Cidr;
use pipkin::netlink::wire::link::{Kind, Link, Name};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::thread::UnshareFlags;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// Our addresses on the cable, of the ranges that are kept for documentation (RFC 5737, RFC 3849).
pub(crate) const HERE: [&str; 2] = ["203.0.113.1", "2001:db8::1"];
/// Its addresses.
pub(crate) const THERE: [&str; 2] = ["203.0.113.2", "2001:db8::2"];
const PREFIXES: [&str; 2] = ["/24", "/64"];
/// Largest packet on the cable: not the usual, so that it shows where it is taken over.
pub(crate) const CABLE_MTU: u32 = 1420;
/// Our end of the cable, which is the way out.
const UPLINK: &str = "up0";

type Job = Box<dyn FnOnce() + Send>;

/// The other host; gone when dropped, with the cable.
pub(crate) struct Elsewhere {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Elsewhere {
    /// Sets it up, as our default router.
    pub(crate) fn new() -> Self {
        let (jobs, queue) = channel::<Job>();
        let (opened, namespace) = channel();
        let thread = std::thread::spawn(move || {
            pipkin::sys::process::unshare(UnshareFlags::NEWNET).expect("a network namespace");
            opened.send(own_namespace()).expect("somebody who waits for it");
            queue.into_iter().for_each(|job| job());
        });
        let namespace = namespace.recv().expect("its namespace");
        let elsewhere = Self { jobs: Some(jobs), thread: Some(thread) };
        let (near, eth0) = (name(UPLINK), name("eth0"));
        let link =
            |name| Link { kind: Some(Kind::Veth), name: Some(name), mtu: Some(CABLE_MTU), ..Link::default() };
        let near_link = link(near);
        let mut buffer = [0; 512];
        let mut batch = Batch::new(&mut buffer);
        link::create_pair(&mut batch, &near_link, &link(eth0), namespace.as_fd());
        commit(&mut batch);
        elsewhere.run(move || set_up(&eth0, THERE, &[]));
        set_up(&near, HERE, &THERE.map(ip));
        elsewhere
    }

    /// What `job` gives, run over there. Passes its panic on.
    #[track_caller]
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let job: Job = Box::new(move || {
            let told = done.send(catch_unwind(AssertUnwindSafe(job)));
            assert!(told.is_ok(), "nobody waits for it");
        });
        self.jobs.as_ref().expect("its thread").send(job).expect("its thread");
        result.recv().expect("a result").unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            let near = name(UPLINK);
            let mut buffer = [0; 64];
            let mut batch = Batch::new(&mut buffer);
            link::delete(&mut batch, &near);
            commit(&mut batch);
            drop(self.jobs.take());
            let ended = self.thread.take().expect("its thread").join();
            assert!(ended.is_ok(), "its thread did not end well");
        });
    }
}

/// The calling thread's network namespace.
fn own_namespace() -> OwnedFd {
    rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .expect("our network namespace")
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a name for a link")
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn commit(batch: &mut Batch<'_>) {
    Socket::open(Protocol::Route).and_then(|mut socket| socket.commit(batch)).expect("a link changed");
}

fn set_up(name: &Name, addresses: [&str; 2], gateways: &[IpAddr]) {
    let with_prefix = |(address, bits): (&str, &str)| Cidr::parse(&[address, bits].concat());
    let [v4, v6] = [0, 1].map(|at| with_prefix((addresses[at], PREFIXES[at])).expect("an address"));
    let interface = Interface { name, addresses: &[v4, v6], gateways };
    interface::configure(&[interface]).expect("an interface set up");
}
