//! The `pipkin` program.
#![deny(unsafe_code)]

fn main() {}
