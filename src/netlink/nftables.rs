//! What is done with nf_tables: changes as one transaction, and lists of what is there.
//!
//! A transaction is carried out whole or not at all, and packets see all of it at once. Names and expressions given
//! must outlive it: it tells names when the kernel refuses.

use super::batch::{Batch, Step};
use super::socket::Socket;
use super::wire::Malformed;
use super::wire::message::{self, Message};
use super::wire::nftables::chain::{self, Chain};
use super::wire::nftables::expression::Expression;
use super::wire::nftables::rule::{self, Rule};
use super::wire::nftables::set::{self, Element, Elements, Set};
use super::wire::nftables::table::{self, Table};
use super::wire::nftables::{BATCH_BEGIN, BATCH_END, Family, GET_GENERATION, NEW_GENERATION};
use super::wire::nftables::{emit_boundary, parse_generation};
use crate::error::{Error, Result};
use rustix::io::Errno;

/// Room for a batch that asks for something: two names of up to 255 bytes.
const QUESTION_CAPACITY: usize = 640;

/// Changes that are carried out together or not at all.
#[derive(Debug)]
pub struct Transaction<'a> {
    batch: Batch<'a>,
}

impl<'a> Transaction<'a> {
    /// An empty transaction that will write into `buffer`. A table or chain takes about 100 bytes, a rule about
    /// 50 bytes per expression, an element 40 to 80.
    #[must_use]
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self::begin(buffer, None)
    }

    /// The same, refused with `ERESTART` when there was another transaction since [`generation`] gave
    /// `generation`: what was listed then may have changed.
    #[must_use]
    pub fn since(generation: u32, buffer: &'a mut [u8]) -> Self {
        Self::begin(buffer, Some(generation))
    }

    fn begin(buffer: &'a mut [u8], generation: Option<u32>) -> Self {
        let mut batch = Batch::new(buffer);
        let step = Step { stage: "change the nftables rules", subject: b"" };
        batch.push(step, BATCH_BEGIN, 0, |payload| emit_boundary(payload, generation));
        Self { batch }
    }

    /// Adds a table, or leaves the one there is.
    pub fn add_table(&mut self, table: &Table<'a>) {
        let step = Step { stage: "add the nftables table", subject: table.name };
        self.batch.push(step, table::NEW, message::CREATE, |payload| table.emit(payload));
    }

    /// Creates a table; one that exists is refused with `EEXIST`.
    pub fn create_table(&mut self, table: &Table<'a>) {
        let step = Step { stage: "create the nftables table", subject: table.name };
        let flags = message::CREATE | message::EXCLUSIVE;
        self.batch.push(step, table::NEW, flags, |payload| table.emit(payload));
    }

    /// Deletes a table with everything in it; one that does not exist is refused with `ENOENT`.
    pub fn delete_table(&mut self, table: &Table<'a>) {
        let step = Step { stage: "delete the nftables table", subject: table.name };
        self.batch.push(step, table::DELETE, 0, |payload| table.emit_name(payload));
    }

    /// Adds a chain, or leaves the one there is when it hangs at the same place.
    pub fn add_chain(&mut self, chain: &Chain<'a>) {
        let step = Step { stage: "add the nftables chain", subject: chain.name };
        self.batch.push(step, chain::NEW, message::CREATE, |payload| chain.emit(payload));
    }

    /// Deletes a chain, which must be empty and not jumped to.
    pub fn delete_chain(&mut self, chain: &Chain<'a>) {
        let step = Step { stage: "delete the nftables chain", subject: chain.name };
        self.batch.push(step, chain::DELETE, 0, |payload| chain.emit_name(payload));
    }

    /// Adds a rule at the end of its chain.
    pub fn add_rule(&mut self, rule: &Rule<'a>, expressions: &[Expression<'_>]) {
        let step = Step { stage: "add a rule to the nftables chain", subject: rule.chain };
        let flags = message::CREATE | message::APPEND;
        self.batch.push(step, rule::NEW, flags, |payload| rule.emit(expressions, payload));
    }

    /// Deletes the rule of that handle, or without one every rule of that chain or, when that is empty, table.
    pub fn delete_rule(&mut self, rule: &Rule<'a>) {
        let step = Step { stage: "delete a rule of the nftables chain", subject: rule.chain };
        self.batch.push(step, rule::DELETE, 0, |payload| rule.emit(&[], payload));
    }

    /// Adds a set or map, or leaves the one there is when it is the same.
    pub fn add_set(&mut self, set: &Set<'a>) {
        let step = Step { stage: "add the nftables set", subject: set.name };
        self.batch.push(step, set::NEW, message::CREATE, |payload| set.emit(payload));
    }

    /// Deletes a set or map, in which no rule may look.
    pub fn delete_set(&mut self, set: &Set<'a>) {
        let step = Step { stage: "delete the nftables set", subject: set.name };
        self.batch.push(step, set::DELETE, 0, |payload| set.emit_name(payload));
    }

    /// Adds elements; one that is there with other data is refused with `EEXIST`.
    pub fn add_elements(&mut self, set: &Elements<'a>, elements: &[Element<'_>]) {
        let step = Step { stage: "add to the nftables set", subject: set.set };
        self.batch.push(step, set::NEW_ELEMENT, message::CREATE, |payload| set.emit(elements, payload));
    }

    /// Adds elements; one that is there is refused with `EEXIST`, whatever its data.
    pub fn create_elements(&mut self, set: &Elements<'a>, elements: &[Element<'_>]) {
        let step = Step { stage: "create in the nftables set", subject: set.set };
        let flags = message::CREATE | message::EXCLUSIVE;
        self.batch.push(step, set::NEW_ELEMENT, flags, |payload| set.emit(elements, payload));
    }

    /// Deletes elements; one that is not there is refused with `ENOENT`. No elements deletes none.
    ///
    /// In a set of concatenated ranges the kernel takes any key within a range for the range.
    pub fn delete_elements(&mut self, set: &Elements<'a>, elements: &[Element<'_>]) {
        if !elements.is_empty() {
            self.empty_or_delete(set, elements);
        }
    }

    /// Deletes every element of a set or map.
    pub fn empty_set(&mut self, set: &Elements<'a>) {
        self.empty_or_delete(set, &[]);
    }

    fn empty_or_delete(&mut self, set: &Elements<'a>, elements: &[Element<'_>]) {
        let step = Step { stage: "delete from the nftables set", subject: set.set };
        self.batch.push(step, set::DELETE_ELEMENT, 0, |payload| set.emit(elements, payload));
    }

    /// Carries it out: one send, one answer.
    ///
    /// # Errors
    /// The first refusal, under the step of its message, with the kernel's sentence in the subject; nothing was
    /// changed then. `EPERM` without `CAP_NET_ADMIN`; `EOPNOTSUPP` when the kernel has no nf_tables.
    pub fn commit(mut self, socket: &mut Socket) -> Result<()> {
        // The first message is the beginning.
        let Some(last @ 1..) = self.batch.len().checked_sub(1) else { return Ok(()) };
        self.end();
        socket.commit_until(&mut self.batch, last, true)
    }

    /// The whole transaction as a batch, for whoever looks at what would be sent.
    #[must_use]
    pub fn into_batch(mut self) -> Batch<'a> {
        self.end();
        self.batch
    }

    fn end(&mut self) {
        let step = Step { stage: "change the nftables rules", subject: b"" };
        self.batch.push(step, BATCH_END, 0, |payload| emit_boundary(payload, None));
    }
}

/// The number of the last transaction in the socket's network namespace.
///
/// # Errors
/// Those of [`Socket::fold`].
pub fn generation(socket: &mut Socket) -> Result<u32> {
    let stage = "read the nftables generation";
    let mut buffer = [0; QUESTION_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    batch.push(Step { stage, subject: b"" }, GET_GENERATION, 0, |payload| Family::ANY.emit(payload));
    let mut found = None;
    socket.ask_for_one(&mut batch, &mut |message| {
        if message.header.kind == NEW_GENERATION {
            found = Some(parse_generation(message.payload)?);
        }
        Ok(())
    })?;
    found.ok_or(Error::new(stage, Errno::BADMSG))
}

/// Folds every table of `family`, or of all families, into a copy of `initial`.
///
/// # Errors
/// Those of [`Socket::fold`].
pub fn fold_tables<T: Clone>(
    socket: &mut Socket,
    family: Family,
    initial: &T,
    mut visit: impl FnMut(&mut T, &Table<'_>),
) -> Result<T> {
    let mut buffer = [0; QUESTION_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    let step = Step { stage: "list the nftables tables", subject: b"" };
    batch.push(step, table::GET, message::DUMP, |payload| family.emit(payload));
    fold(socket, &mut batch, table::NEW, initial, |folded, message| {
        visit(folded, &Table::parse(message.payload)?);
        Ok(())
    })
}

/// Folds every chain of every table of `family`, or of all families, into a copy of `initial`.
///
/// # Errors
/// Those of [`Socket::fold`].
pub fn fold_chains<T: Clone>(
    socket: &mut Socket,
    family: Family,
    initial: &T,
    mut visit: impl FnMut(&mut T, &Chain<'_>),
) -> Result<T> {
    let mut buffer = [0; QUESTION_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    let step = Step { stage: "list the nftables chains", subject: b"" };
    batch.push(step, chain::GET, message::DUMP, |payload| family.emit(payload));
    fold(socket, &mut batch, chain::NEW, initial, |folded, message| {
        visit(folded, &Chain::parse(message.payload)?);
        Ok(())
    })
}

/// Folds every rule of the chain, or when its name is empty of the table, that `of` names into a copy of
/// `initial`. `visit` may read its expressions from the payload by [`Rule::parse_expressions`].
///
/// # Errors
/// Those of [`Socket::fold`]; `ENOENT` when there is no such table.
pub fn fold_rules<T: Clone>(
    socket: &mut Socket,
    of: &Rule<'_>,
    initial: &T,
    mut visit: impl FnMut(&mut T, &Rule<'_>, &[u8]) -> core::result::Result<(), Malformed>,
) -> Result<T> {
    let mut buffer = [0; QUESTION_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    let step = Step { stage: "list the rules of the nftables table", subject: of.table };
    batch.push(step, rule::GET, message::DUMP, |payload| of.emit(&[], payload));
    fold(socket, &mut batch, rule::NEW, initial, |folded, message| {
        visit(folded, &Rule::parse(message.payload)?, message.payload)
    })
}

/// Folds every set and map of the table that `of` names into a copy of `initial`.
///
/// # Errors
/// Those of [`Socket::fold`]; `ENOENT` when there is no such table.
pub fn fold_sets<T: Clone>(
    socket: &mut Socket,
    of: &Table<'_>,
    initial: &T,
    mut visit: impl FnMut(&mut T, &Set<'_>),
) -> Result<T> {
    let mut buffer = [0; QUESTION_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    let step = Step { stage: "list the sets of the nftables table", subject: of.name };
    let wanted = Set::new(of.family, of.name, b"", set::Type(0), 0);
    batch.push(step, set::GET, message::DUMP, |payload| wanted.emit_name(payload));
    fold(socket, &mut batch, set::NEW, initial, |folded, message| {
        visit(folded, &Set::parse(message.payload)?);
        Ok(())
    })
}

/// Folds every element of the set or map that `of` names into a copy of `initial`.
///
/// # Errors
/// Those of [`Socket::fold`]; `ENOENT` when there is no such set.
pub fn fold_elements<T: Clone>(
    socket: &mut Socket,
    of: &Elements<'_>,
    initial: &T,
    mut visit: impl FnMut(&mut T, &Element<'_>),
) -> Result<T> {
    let mut buffer = [0; QUESTION_CAPACITY];
    let mut batch = Batch::new(&mut buffer);
    let step = Step { stage: "list the elements of the nftables set", subject: of.set };
    batch.push(step, set::GET_ELEMENT, message::DUMP, |payload| of.emit(&[], payload));
    fold(socket, &mut batch, set::NEW_ELEMENT, initial, |folded, message| {
        for element in Elements::parse_list(message.payload)? {
            visit(folded, &element?);
        }
        Ok(())
    })
}

/// Folds the messages of type `kind` of an answer.
fn fold<T: Clone>(
    socket: &mut Socket,
    batch: &mut Batch<'_>,
    kind: u16,
    initial: &T,
    mut visit: impl FnMut(&mut T, &Message<'_>) -> core::result::Result<(), Malformed>,
) -> Result<T> {
    socket.fold(
        batch,
        initial,
        |folded, message| {
            if message.header.kind == kind { visit(folded, message) } else { Ok(()) }
        },
    )
}
