//! Sets and maps of many elements, and of ranges.

use super::{INET, PORTS, R1, R2, TABLE, WEB, WEB_KEY, add_all, keys, netfilter};
use crate::{Need, kernel_case};
use libtest_mimic::Trial;
use pipkin::netlink::nftables::{Transaction, fold_elements};
use pipkin::netlink::wire::nftables::chain::Chain;
use pipkin::netlink::wire::nftables::data::{Data, Register, Verdict};
use pipkin::netlink::wire::nftables::expression::{Base, Expression};
use pipkin::netlink::wire::nftables::rule::Rule;
use pipkin::netlink::wire::nftables::set::{self, DataSpec, Element, Elements, Set, Type};
use rustix::io::Errno;

pub(super) fn thousands() -> Trial {
    kernel_case("nftables::thousands_of_elements_are_one_list", Need::Nftables, many_elements)
}

pub(super) fn ranges() -> Trial {
    kernel_case("nftables::a_verdict_map_holds_ranges", Need::Nftables, verdict_map)
}

fn many_elements() {
    const COUNT: u16 = 4000;
    let mut socket = netfilter();
    add_all(&mut socket).unwrap();
    let all: Vec<[u8; 8]> = (1..=COUNT)
        .map(|port| {
            let [high, low] = port.to_be_bytes();
            [17, 0, 0, 0, high, low, 0, 0]
        })
        .collect();
    let elements: Vec<Element<'_>> = all.iter().map(|key| Element { key, comment: b"", ..WEB }).collect();
    let mut buffer = vec![0; 200_000];
    let mut transaction = Transaction::new(&mut buffer);
    // The elements of one message have a length field of two bytes.
    elements.chunks(1000).for_each(|some| transaction.add_elements(&PORTS, some));
    transaction.commit(&mut socket).unwrap();
    let mut expected = all.iter().map(|key| key.to_vec()).chain([WEB_KEY.to_vec()]).collect::<Vec<_>>();
    let mut found = keys(&mut socket);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let mut transaction = Transaction::new(&mut buffer);
    elements.chunks(1000).for_each(|some| transaction.delete_elements(&PORTS, some));
    transaction.commit(&mut socket).unwrap();
    assert_eq!(keys(&mut socket), [WEB_KEY]);

    let mut transaction = Transaction::new(&mut buffer);
    transaction.add_elements(&PORTS, &elements);
    assert_eq!(transaction.commit(&mut socket).unwrap_err().errno, Errno::NOBUFS);
}

/// A range of ports of one address leads to a chain, by a key of three parts.
fn verdict_map() {
    let mut socket = netfilter();
    add_all(&mut socket).unwrap();
    let bound = Set {
        flags: set::INTERVAL | set::CONCATENATION,
        data: Some(DataSpec { kind: Type::VERDICT, len: 0 }),
        parts: [1, 4, 2].into_iter().collect(),
        id: 2,
        ..Set::new(INET, TABLE, b"bound", Type::PROTOCOL.and(Type::IPV4).and(Type::PORT), 12)
    };
    let of = Elements { set: b"bound", ..PORTS };
    let range = |first, data| Element {
        key_end: &[6, 0, 0, 0, 10, 0, 0, 1, 0x1f, 0xff, 0, 0],
        data,
        ..Element::new(first)
    };
    let web = range(&[6, 0, 0, 0, 10, 0, 0, 1, 0x1f, 0x40, 0, 0], Some(Data::Verdict(Verdict::Goto(b"web"))));
    let look = [
        Expression::Payload { base: Base::NETWORK, offset: 9, len: 1, to: R1 },
        Expression::Payload { base: Base::NETWORK, offset: 16, len: 4, to: R2 },
        Expression::Payload { base: Base::TRANSPORT, offset: 2, len: 2, to: Register::word(2) },
        Expression::Lookup {
            from: R1,
            set: b"bound",
            set_id: 2,
            to: Some(Register::VERDICT),
            inverted: false,
        },
    ];
    let mut buffer = [0; 2048];
    let mut transaction = Transaction::new(&mut buffer);
    transaction.add_chain(&Chain::new(INET, TABLE, b"web"));
    transaction.add_set(&bound);
    transaction.add_elements(&Elements { set_id: 2, ..of }, &[web]);
    transaction.add_rule(&Rule::new(INET, TABLE, b"prerouting"), &look);
    transaction.commit(&mut socket).unwrap();
    let listed = fold_elements(&mut socket, &of, &0, |count, element| {
        assert_eq!(*element, web);
        *count += 1;
    });
    assert_eq!(listed, Ok(1));
    let other = Element::new(&[6, 0, 0, 0, 10, 0, 0, 2, 0x1f, 0x41, 0, 0]);
    for (element, expected) in [(other, Err(Errno::NOENT)), (range(web.key, None), Ok(()))] {
        let mut buffer = [0; 512];
        let mut transaction = Transaction::new(&mut buffer);
        transaction.delete_elements(&of, &[element]);
        assert_eq!(transaction.commit(&mut socket).map_err(|error| error.errno), expected);
    }
}
