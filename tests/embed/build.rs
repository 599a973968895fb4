//! Links the target's own C library: its start calls the entry point, and the copying of memory is in it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-lib=static=c");
}
