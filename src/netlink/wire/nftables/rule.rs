//! Rules: expressions worked through for each packet until one does not match or gives a verdict.

use super::expression::Expression;
use super::{Family, HEADER_LEN, LIST_ELEMENT, MESSAGES, Slots};
use crate::netlink::wire::Malformed;
use crate::netlink::wire::attribute::Attributes;
use crate::netlink::wire::builder::Builder;

/// `NFT_MSG_NEWRULE`.
pub const NEW: u16 = MESSAGES | 6;
/// `NFT_MSG_GETRULE`.
pub const GET: u16 = MESSAGES | 7;
/// `NFT_MSG_DELRULE`: one by its handle, or all of a chain or table.
pub const DELETE: u16 = MESSAGES | 8;

const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_USERDATA: u16 = 7;

/// A rule without its expressions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule<'a> {
    /// The packets its table sees.
    pub family: Family,
    /// Its table.
    pub table: &'a [u8],
    /// Its chain; in a request to delete or to list, empty means every chain of the table.
    pub chain: &'a [u8],
    /// The kernel's number for it, unique in its table; absent when it is made.
    pub handle: Option<u64>,
    /// For people, shown by nft; empty for none.
    pub comment: &'a [u8],
}

impl<'a> Rule<'a> {
    /// A rule as it is asked for.
    #[must_use]
    pub const fn new(family: Family, table: &'a [u8], chain: &'a [u8]) -> Self {
        Self { family, table, chain, handle: None, comment: &[] }
    }

    /// Reads the payload of a rule message.
    ///
    /// # Errors
    /// [`Malformed`] when an attribute breaks or has not its size.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let family = Family::parse(payload)?;
        let slots = Slots::read(Attributes::after(payload, HEADER_LEN))?;
        Ok(Self {
            family,
            table: slots.text(NFTA_RULE_TABLE),
            chain: slots.text(NFTA_RULE_CHAIN),
            handle: slots.long(NFTA_RULE_HANDLE)?,
            comment: slots.comment(NFTA_RULE_USERDATA),
        })
    }

    /// Reads the expressions of a rule message.
    ///
    /// # Errors
    /// [`Malformed`] when an attribute before them breaks.
    pub fn parse_expressions(
        payload: &'a [u8],
    ) -> Result<impl Iterator<Item = Result<Expression<'a>, Malformed>>, Malformed> {
        let list = Attributes::after(payload, HEADER_LEN).find(NFTA_RULE_EXPRESSIONS)?;
        Ok(list.into_iter().flat_map(|list| list.nested()).map(|element| Expression::parse(&element?)))
    }

    /// Appends the payload of a rule message; no `expressions` in a request to delete or to list.
    pub fn emit(&self, expressions: &[Expression<'_>], payload: &mut Builder<'_>) {
        self.family.emit(payload);
        payload.text(NFTA_RULE_TABLE, self.table);
        payload.text_unless_empty(NFTA_RULE_CHAIN, self.chain);
        if let Some(handle) = self.handle {
            payload.u64_be(NFTA_RULE_HANDLE, handle);
        }
        if !expressions.is_empty() {
            payload.nested(NFTA_RULE_EXPRESSIONS, |list| {
                for expression in expressions {
                    list.nested(LIST_ELEMENT, |element| expression.emit(element));
                }
            });
        }
        payload.comment(NFTA_RULE_USERDATA, self.comment);
    }
}
