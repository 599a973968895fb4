//! What the field's own tools sent, kept as test data, against what is built here.

use libtest_mimic::Trial;
use pipkin::netlink::batch::Batch;
use pipkin::netlink::wire::attribute::Attributes;
use pipkin::netlink::wire::message::{self, Messages};

mod nftables;
mod route;

pub(crate) fn cases() -> Vec<Trial> {
    route::cases().into_iter().chain(nftables::cases()).collect()
}

/// The sends recorded in `file` for `command`.
///
/// A file holds lines of three kinds: `# remark`, `$ command`, and the bytes of one send in hex.
fn sends(file: &str, command: &str) -> Vec<Vec<u8>> {
    let mut lines = file.lines().skip_while(|line| line.strip_prefix("$ ") != Some(command));
    assert!(lines.next().is_some(), "no record of `{command}`");
    lines.take_while(|line| !line.starts_with('$')).map(bytes).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What `fill` puts into a batch, as it would be sent.
fn built<'a>(buffer: &'a mut [u8], fill: impl FnOnce(&mut Batch<'a>)) -> Vec<u8> {
    let mut batch = Batch::new(buffer);
    fill(&mut batch);
    batch.bytes(1, None).unwrap().to_vec()
}

/// A message with everything in it that has a meaning: its type, its flags without the wish for an
/// acknowledgement, the fixed header of `fixed` bytes, and its attributes in an order of their own.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Meaning {
    kind: u16,
    flags: u16,
    fixed: Vec<u8>,
    attributes: Vec<Tree>,
}

/// An attribute: its type and its value, or the attributes that its value consists of.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Tree {
    Leaf(u16, Vec<u8>),
    Nest(u16, Vec<Tree>),
}

/// Says of an attribute, by its message's type and the attribute types on the way to it, what its value is.
type Nests = fn(u16, &[u16]) -> Nest;

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leaf(kind, value) => {
                write!(f, "{kind}=")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Nest(kind, inner) => write!(f, "{kind}={inner:?}"),
        }
    }
}

impl Tree {
    fn forget_kind(&mut self) {
        match self {
            Self::Leaf(kind, _) | Self::Nest(kind, _) => *kind = 0,
        }
    }
}

/// The messages of `send`; `fixed` gives the bytes of a message type's fixed header.
fn meaning(send: &[u8], fixed: fn(u16) -> usize, nests: Nests) -> Vec<Meaning> {
    let read = |message: message::Message<'_>| {
        let kind = message.header.kind;
        let (head, rest) = message.payload.split_at(fixed(kind));
        let mut attributes = trees(Attributes::new(rest), kind, &mut Vec::new(), nests);
        attributes.sort();
        Meaning { kind, flags: message.header.flags & !message::ACK, fixed: head.to_vec(), attributes }
    };
    Messages::new(send).map(|message| read(message.unwrap())).collect()
}

/// What the value of an attribute is.
enum Nest {
    /// A value.
    No,
    /// Attributes whose order has no meaning.
    Set,
    /// Attributes whose types have no meaning but the order.
    List,
    /// Attributes behind a fixed header of this many bytes.
    Behind(usize),
}

fn trees(attributes: Attributes<'_>, kind: u16, path: &mut Vec<u16>, nests: Nests) -> Vec<Tree> {
    let mut found = Vec::new();
    for attribute in attributes {
        let attribute = attribute.unwrap();
        path.push(attribute.kind);
        found.push(match nests(kind, path) {
            Nest::No => Tree::Leaf(attribute.kind, attribute.value.to_vec()),
            Nest::Set => {
                let mut inner = trees(attribute.nested(), kind, path, nests);
                inner.sort();
                Tree::Nest(attribute.kind, inner)
            }
            Nest::List => {
                let mut inner = trees(attribute.nested(), kind, path, nests);
                inner.iter_mut().for_each(Tree::forget_kind);
                Tree::Nest(attribute.kind, inner)
            }
            Nest::Behind(fixed) => {
                let (head, rest) = attribute.value.split_at(fixed);
                let mut inner = trees(Attributes::new(rest), kind, path, nests);
                inner.sort();
                inner.insert(0, Tree::Leaf(u16::MAX, head.to_vec()));
                Tree::Nest(attribute.kind, inner)
            }
        });
        path.pop();
    }
    found
}
