//! Netlink packets and attributes, and what is said with them.
//!
//! Duty: links, addresses and routes by rtnetlink, packet rules by nf_tables, each change one send and one answer.
//! It knows nothing of containers and opens sockets only in the network namespace its caller is in.
//!
//! | module | duty |
//! |---|---|
//! | [`wire`] | bytes to values and back; no system call |
//! | [`batch`] | requests put together before they are sent |
//! | [`socket`] | sending, matching answers to requests, refusals as errors |
//! | [`link`] | `lo`, bridges, veth pairs |
//! | [`address`], [`route`], [`neighbour`] | the IP side of links |
//! | [`nftables`] | tables, chains, rules, sets: changes as transactions, and lists |
//! | [`interface`] | a whole interface set up from within its namespace |
//!
//! Dangers: everything the kernel sends is read with checks, and a reply that does not fit is an error, never a
//! shortened list. Nothing allocates; capacities are named constants.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

pub mod address;
pub mod batch;
pub mod interface;
pub mod link;
pub mod neighbour;
pub mod nftables;
pub mod route;
pub mod socket;
pub mod wire;
