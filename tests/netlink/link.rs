//! Links in the running kernel.

use crate::{Need, commit, kernel_case, name, namespace, open, tool};
use libtest_mimic::Trial;
use pipkin::error::{Error, Subject};
use pipkin::netlink::link::{self, attach, change, create, create_pair, delete, raise};
use pipkin::netlink::wire::link::{Kind, Link, Name, UP};
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn cases() -> Vec<Trial> {
    vec![
        kernel_case("link::loopback_carries_packets_once_it_is_up", Need::Nothing, loopback),
        kernel_case("link::a_bridge_is_what_was_asked_for", Need::Links, a_bridge),
        kernel_case("link::refusals_name_their_step", Need::Links, refusals),
        kernel_case("link::later_messages_of_a_batch_are_carried_out", Need::Links, later_messages),
        kernel_case(
            "link::a_bridge_of_many_is_listed_whole_while_links_change",
            Need::Links,
            a_changing_list,
        ),
        kernel_case("link::a_kind_the_kernel_lacks_is_refused", Need::Nothing, a_missing_kind),
    ]
}

fn bridge(called: &str) -> Link {
    Link { name: Some(name(called)), kind: Some(Kind::Bridge), ..Link::default() }
}

fn loopback() {
    let listener = TcpListener::bind("127.0.0.1:0");
    assert!(listener.is_err() || TcpStream::connect(listener.unwrap().local_addr().unwrap()).is_err());
    link::raise_loopback().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    link::raise_loopback().unwrap();
    assert_eq!(link::index(&open(), &Name::LOOPBACK), Ok(1));
}

fn a_bridge() {
    let mut socket = open();
    let called = name("pipkin0");
    let mac = [2, 0x42, 172, 20, 0, 1];
    let wanted = Link { mac: Some(mac), mtu: Some(1400), flags: UP, change: UP, ..bridge("pipkin0") };
    commit(&mut socket, &mut [0; 256], |batch| create(batch, &wanted)).unwrap();

    let made = link::get(&mut socket, &called).unwrap();
    let (name_made, mac_made, mtu, kind) = (made.name, made.mac, made.mtu, made.kind);
    assert_eq!((name_made, mac_made, mtu, kind), (Some(called), Some(mac), Some(1400), Some(Kind::Bridge)));
    assert_eq!(made.flags & UP, UP);
    assert!(made.statistics.is_some());
    assert_eq!(link::index(&socket, &called), Ok(made.index));
    assert_eq!(link::get_by_index(&mut socket, made.index).unwrap().name, Some(called));
    if let Some(told) = tool::json("ip", &["-j", "-d", "link", "show", "pipkin0"]) {
        assert_eq!(told[0]["address"], "02:42:ac:14:00:01");
        assert_eq!(told[0]["mtu"], 1400);
        assert_eq!(told[0]["linkinfo"]["info_kind"], "bridge");
    }

    let renamed = Link { index: made.index, name: Some(name("other0")), ..Link::default() };
    let lowered = Link { index: made.index, flags: 0, change: UP, ..Link::default() };
    commit(&mut socket, &mut [0; 256], |batch| {
        change(batch, &lowered);
        change(batch, &renamed);
    })
    .unwrap();
    let other = link::get_by_index(&mut socket, made.index).unwrap();
    assert_eq!((other.name, other.flags & UP), (renamed.name, 0));

    let other = name("other0");
    for _ in 0..2 {
        commit(&mut socket, &mut [0; 256], |batch| delete(batch, &other)).unwrap();
    }
    assert_eq!(link::get(&mut socket, &other).unwrap_err().errno, Errno::NODEV);
}

fn refusals() {
    let mut socket = open();
    let (twice, absent) = (bridge("twice"), name("absent"));
    let error = commit(&mut socket, &mut [0; 256], |batch| {
        create(batch, &twice);
        create(batch, &twice);
    })
    .unwrap_err();
    assert_eq!((error.stage, error.errno), ("create the link", Errno::EXIST));
    assert!(subject(&error).starts_with("twice"), "{error:?}");

    let error = commit(&mut socket, &mut [0; 256], |batch| {
        raise(batch, &Name::LOOPBACK);
        raise(batch, &absent);
        raise(batch, &Name::LOOPBACK);
    })
    .unwrap_err();
    assert_eq!((error.stage, error.errno), ("bring up the link", Errno::NODEV));
    assert!(subject(&error).starts_with("absent"), "{error:?}");

    // The kernel has a sentence for this one: an MTU below the least.
    let tiny = Link { mtu: Some(1), name: Some(name("twice")), ..Link::default() };
    let error = commit(&mut socket, &mut [0; 256], |batch| change(batch, &tiny)).unwrap_err();
    assert_eq!((error.stage, error.errno), ("change the link", Errno::INVAL));
    let told = subject(&error);
    assert!(told.starts_with("twice (") && told.ends_with(')') && told.len() > "twice ()".len(), "{told}");

    // The socket is as good as before.
    assert!(link::get(&mut socket, &name("twice")).is_ok());
    assert_eq!(commit(&mut socket, &mut [0; 0], |_| {}), Ok(()));
    let error = commit(&mut socket, &mut [0; 40], |batch| create(batch, &twice)).unwrap_err();
    assert_eq!(error.errno, Errno::NOBUFS);
}

fn subject(error: &Error) -> String {
    match &error.subject {
        Subject::Text(text) => String::from_utf8(text.as_bytes().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn later_messages() {
    let mut socket = open();
    let (absent, made) = (name("absent"), bridge("made"));
    let result = commit(&mut socket, &mut [0; 512], |batch| {
        raise(batch, &absent);
        batch.tolerate(Errno::NODEV);
        create(batch, &made);
        delete(batch, &absent);
    });
    assert_eq!(result, Ok(()));
    assert!(link::get(&mut socket, &name("made")).is_ok());
}

fn a_missing_kind() {
    let dummy = Link { kind: Some(Kind::Dummy), ..bridge("dummy1") };
    let mut socket = open();
    match commit(&mut socket, &mut [0; 256], |batch| create(batch, &dummy)) {
        Ok(()) => assert_eq!(link::get(&mut socket, &name("dummy1")).unwrap().kind, Some(Kind::Dummy)),
        Err(error) => assert_eq!(error.errno, Errno::OPNOTSUPP),
    }
}

/// Members of the bridge in [`a_changing_list`]: several datagrams of answers.
const MEMBERS: usize = 120;

/// Another thread makes and removes links all the while: the kernel interrupts dumps, none is believed.
fn a_changing_list() {
    let mut socket = open();
    let here = namespace::own();
    let (switch, far) = (bridge("pipkin0"), Link::default());
    commit(&mut socket, &mut [0; 256], |batch| create(batch, &switch)).unwrap();
    let index = link::index(&socket, &name("pipkin0")).unwrap();
    let nears: Vec<Link> = (0..MEMBERS)
        .map(|number| Link {
            kind: Some(Kind::Veth),
            master: Some(index),
            ..bridge(&format!("near{number}"))
        })
        .collect();
    for some in nears.chunks(20) {
        commit(&mut socket, &mut [0; 4096], |batch| {
            some.iter().for_each(|near| create_pair(batch, near, &far, here.as_fd()));
        })
        .unwrap();
    }
    let expected: BTreeSet<String> = (0..MEMBERS).map(|number| format!("near{number}")).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut socket, restless) = (open(), bridge("restless"));
            let restless_name = name("restless");
            while !over.load(Ordering::Relaxed) {
                commit(&mut socket, &mut [0; 512], |batch| {
                    create(batch, &restless);
                    delete(batch, &restless_name);
                })
                .unwrap();
            }
        });
        for _ in 0..30 {
            let listed = link::fold_members(&mut socket, index, &Vec::new(), |names, link| {
                names.push(String::from_utf8(link.name.unwrap().as_bytes().to_vec()).unwrap());
            });
            over.store(listed.is_err(), Ordering::Relaxed);
            let listed = listed.unwrap();
            assert_eq!(listed.len(), MEMBERS);
            assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
        }
        over.store(true, Ordering::Relaxed);
    });

    let member = name("near7");
    commit(&mut socket, &mut [0; 256], |batch| attach(batch, &member, 0)).unwrap();
    assert_eq!(link::fold_members(&mut socket, index, &0, |count, _| *count += 1), Ok(MEMBERS - 1));
    commit(&mut socket, &mut [0; 256], |batch| attach(batch, &member, index)).unwrap();
    assert_eq!(link::get(&mut socket, &member).unwrap().master, Some(index));
}
