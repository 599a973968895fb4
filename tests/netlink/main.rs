//! The netlink room against the running kernel, each test in a network namespace of its own.

mod link;
mod namespace;
