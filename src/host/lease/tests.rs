//! Leases against a model, in files that have no name.
#![allow(clippy::unwrap_used)]

extern crate std;

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::vec::Vec;

fn file() -> OwnedFd {
    rustix::fs::memfd_create("leases", rustix::fs::MemfdFlags::CLOEXEC).unwrap()
}

/// Another opening of the same file, as another process has it: locks of the two exclude each other.
fn again(file: &OwnedFd) -> OwnedFd {
    use rustix::fd::AsRawFd;
    use rustix::fs::{Mode, OFlags};
    let path = std::format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::open(path.as_str(), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn cidr(text: &str) -> Cidr {
    Cidr::parse(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn open(file: &OwnedFd, gateway: &str) -> Result<Leases> {
    Leases::open(again(file), cidr(gateway))
}

fn owner(number: u32) -> Owner {
    Owner::new(&number.to_le_bytes())
}

fn errno<T: core::fmt::Debug>(result: Result<T>) -> Errno {
    result.unwrap_err().errno
}

#[test]
fn a_whole_subnet_is_given_once_each_and_then_no_more() {
    let file = file();
    let mut leases = open(&file, "172.20.0.1/16").unwrap();
    let given: BTreeSet<_> = (0..65_533).map(|number| leases.allocate(owner(number)).unwrap()).collect();
    assert_eq!(given.len(), 65_533);
    assert_eq!((given.first(), given.last()), (Some(&ip("172.20.0.2")), Some(&ip("172.20.255.254"))));
    assert_eq!(errno(leases.allocate(owner(1))), Errno::NOSPC);
    assert_eq!(leases.release(ip("172.20.99.3"), owner(99 * 256 + 1)), Ok(true));
    assert_eq!(leases.allocate(owner(7)), Ok(ip("172.20.99.3")));
    assert_eq!(leases.retain(&mut |holder| holder == owner(7)), Ok(65_531));
    assert_eq!(leases.owner(ip("172.20.99.3")), Ok(Some(owner(7))));
}

#[test]
fn what_a_subnet_does_not_give() {
    let file = file();
    let mut leases = open(&file, "192.168.1.1/24").unwrap();
    for outside in ["192.168.1.0", "192.168.1.1", "192.168.1.255", "192.168.2.2", "::1", "fd00::2"] {
        assert_eq!(errno(leases.reserve(ip(outside), owner(1))), Errno::ADDRNOTAVAIL, "{outside}");
        assert_eq!(leases.release(ip(outside), owner(1)), Ok(false));
        assert_eq!(leases.owner(ip(outside)), Ok(None));
    }
    for (gateway, first) in [
        ("10.0.0.1/8", "10.0.0.2"),
        ("10.0.0.0/31", "10.0.0.1"),
        ("10.0.0.2/30", "10.0.0.1"),
        ("fd00::1/64", "fd00::2"),
        ("fd00::1/127", "fd00::"),
        ("0.0.0.1/0", "0.0.0.2"),
    ] {
        let file = self::file();
        assert_eq!(open(&file, gateway).unwrap().allocate(owner(1)), Ok(ip(first)), "{gateway}");
    }
    for none in ["10.0.0.1/32", "fd00::1/128"] {
        assert_eq!(errno(open(&self::file(), none)), Errno::INVAL, "{none}");
    }
    // The last address of a large subnet is given on request, one beyond what is counted is not.
    assert_eq!(open(&self::file(), "10.0.0.1/8").unwrap().reserve(ip("10.255.255.254"), owner(1)), Ok(()));
    let mut wide = open(&self::file(), "fd00::1/64").unwrap();
    assert_eq!(wide.reserve(ip("fd00::ff:ffff"), owner(1)), Ok(()));
    assert_eq!(errno(wide.reserve(ip("fd00::100:0"), owner(1))), Errno::ADDRNOTAVAIL);
    assert_eq!(wide.retain(&mut |_| false), Ok(1));
}

#[test]
fn another_subnets_file_is_not_taken_for_this_ones() {
    let file = file();
    open(&file, "172.20.0.1/16").unwrap();
    for other in ["172.20.0.2/16", "172.21.0.1/16", "172.20.0.1/24", "fd00::1/112"] {
        assert_eq!(errno(open(&file, other)), Errno::UCLEAN, "{other}");
    }
    assert!(open(&file, "172.20.0.1/16").is_ok());
}

#[test]
fn a_file_whose_maker_was_killed_before_its_header_is_made_again() {
    let file = file();
    rustix::fs::ftruncate(&file, entry_offset(65_536)).unwrap();
    assert!(open(&file, "172.20.0.1/16").is_ok());
}

#[test]
fn what_a_file_that_was_cut_has_lost_is_not_given_again() {
    let file = file();
    let given = open(&file, "172.20.0.1/16").unwrap().allocate(owner(1)).unwrap();
    rustix::fs::ftruncate(&file, 100).unwrap();
    let mut leases = open(&file, "172.20.0.1/16").unwrap();
    assert_eq!(errno(leases.allocate(owner(2))), Errno::UCLEAN);
    assert_eq!(errno(leases.reserve(given, owner(2))), Errno::UCLEAN);
    assert_eq!(errno(leases.release(given, owner(1))), Errno::UCLEAN);
    drop(leases);
    rustix::fs::ftruncate(&file, 40).unwrap();
    assert_eq!(errno(open(&file, "172.20.0.1/16")), Errno::UCLEAN);
}

#[test]
fn parallel_owners_never_share_an_address() {
    const EACH: u32 = 300;
    let file = file();
    let given = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (file, given) = (&file, &given);
            scope.spawn(move || {
                for number in 0..EACH {
                    let owner = owner(thread * EACH + number);
                    let address = open(file, "10.1.0.1/20").unwrap().allocate(owner).unwrap();
                    given.lock().unwrap().push(address);
                    if number % 3 == 0 {
                        let mut given = given.lock().unwrap();
                        assert_eq!(open(file, "10.1.0.1/20").unwrap().release(address, owner), Ok(true));
                        given.retain(|held| *held != address);
                    }
                }
            });
        }
    });
    let given = given.into_inner().unwrap();
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
    assert_eq!(given.len(), 4 * 200);
    let mut held = 0;
    assert_eq!(
        open(&file, "10.1.0.1/20").unwrap().retain(&mut |_| {
            held += 1;
            true
        }),
        Ok(0)
    );
    assert_eq!(held, given.len());
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Allocate(u32),
    Reserve(u8, u32),
    Release(u8, u32),
    Retain(u32),
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    let (place, owner) = (0..32_u8, 0..6_u32);
    prop_oneof![
        4 => owner.clone().prop_map(Act::Allocate),
        2 => (place.clone(), owner.clone()).prop_map(|(place, owner)| Act::Reserve(place, owner)),
        2 => (place, owner.clone()).prop_map(|(place, owner)| Act::Release(place, owner)),
        1 => owner.prop_map(Act::Retain),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #[test]
    fn leases_behave_like_a_map(acts in prop::collection::vec(act(), 0..80)) {
        let file = file();
        let gateway = "10.0.0.5/28";
        let mut leases = open(&file, gateway).unwrap();
        let mut model = BTreeMap::new();
        let place = |place: u8| IpAddr::from([10, 0, 0, place]);
        let gives = |number: u8| (1..15).contains(&number) && number != 5;
        for act in acts {
            match act {
                Act::Allocate(who) => match leases.allocate(owner(who)) {
                    Ok(address) => prop_assert_eq!(model.insert(address, owner(who)), None),
                    Err(error) => prop_assert_eq!((error.errno, model.len()), (Errno::NOSPC, 13)),
                },
                Act::Reserve(number, who) => {
                    let expected = match model.get(&place(number)) {
                        _ if !gives(number) => Err(Errno::ADDRNOTAVAIL),
                        Some(holder) if *holder != owner(who) => Err(Errno::ADDRINUSE),
                        _ => Ok(()),
                    };
                    let result = leases.reserve(place(number), owner(who)).map_err(|error| error.errno);
                    prop_assert_eq!(result, expected);
                    if expected.is_ok() {
                        model.insert(place(number), owner(who));
                    }
                }
                Act::Release(number, who) => {
                    let held = model.get(&place(number)) == Some(&owner(who));
                    prop_assert_eq!(leases.release(place(number), owner(who)), Ok(held));
                    if held {
                        model.remove(&place(number));
                    }
                }
                Act::Retain(who) => {
                    let before = model.len();
                    model.retain(|_, holder| *holder != owner(who));
                    let released = leases.retain(&mut |holder| holder != owner(who));
                    prop_assert_eq!(released.map(|count| count as usize), Ok(before - model.len()));
                }
                Act::Reopen => {
                    drop(leases);
                    leases = open(&file, gateway).unwrap();
                }
            }
            for number in 0..16 {
                prop_assert_eq!(leases.owner(place(number)), Ok(model.get(&place(number)).copied()));
            }
        }
    }

    /// A damaged byte is never read as an owner: it is told, or lies where nothing is read, or in the hint.
    #[test]
    fn damage_is_told(place in 0..(64 + 16 * 16_u64), bits in 1..=255_u8) {
        let file = file();
        let mut leases = open(&file, "10.0.0.1/28").unwrap();
        while leases.allocate(owner(1)).is_ok() {}
        drop(leases);
        let mut byte = [0];
        rustix::io::pread(&file, &mut byte, place).unwrap();
        rustix::io::pwrite(&file, &[byte[0] ^ bits], place).unwrap();
        let told = match open(&file, "10.0.0.1/28") {
            Err(error) => Some(error.errno),
            Ok(mut leases) => leases.retain(&mut |holder| holder == owner(1)).err().map(|error| error.errno),
        };
        let unread = (NEXT_OFFSET as u64..HEADER_LEN as u64).contains(&place);
        prop_assert_eq!(told, (!unread).then_some(Errno::UCLEAN));
    }
}
