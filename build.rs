//! Turns reviewed data into static tables at build time.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
