//! `build-static`: the shipped program, as small as the toolchain can make it, and the check that it is static.

use crate::elf::{self, Placement};
use crate::{command, setup};
use anyhow::{Context, Result, bail};
use argh::{FromArgValue, FromArgs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fmt, fs};

/// The whole program must fit: a promise of the README, on each architecture.
const SIZE_BAR: u64 = 300 * 1024;

/// Build the static program for each architecture, check it, and print its size.
#[derive(FromArgs)]
#[argh(subcommand, name = "build-static")]
pub(crate) struct BuildStatic {
    /// x86_64, aarch64 or all; the machine's own when left out
    #[argh(option, default = "Targets::One(Arch::HOST)")]
    target: Targets,
    /// what the program can be: all; runtime, without the OCI interface; or init, which is also PID 1 of a machine,
    /// without containers; all when left out
    #[argh(option, default = "Face::All")]
    face: Face,
}

impl BuildStatic {
    pub(crate) fn run(&self) -> Result<()> {
        let mut over = Vec::new();
        for arch in self.target.list() {
            let program = static_binary(*arch, self.face)?;
            let size =
                fs::metadata(&program).with_context(|| format!("reading {}", program.display()))?.len();
            println!("{}", sentence(*arch, &program, size));
            if size > SIZE_BAR {
                over.push(arch.name());
            }
        }
        if over.is_empty() { Ok(()) } else { bail!("over the size bar: {}", over.join(", ")) }
    }
}

/// An architecture Pipkin is shipped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
    Aarch64,
}

impl Arch {
    pub(crate) const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    /// The machine's own.
    pub(crate) const HOST: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

    /// The kernel's name for it (`uname -m`).
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }

    /// The Rust target of everything that runs as or beside Pipkin.
    pub(crate) const fn triple(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-unknown-linux-musl",
            Arch::Aarch64 => "aarch64-unknown-linux-musl",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromArgValue for Arch {
    fn from_arg_value(value: &str) -> Result<Arch, String> {
        let found = Arch::ALL.into_iter().find(|arch| arch.name() == value);
        found.ok_or_else(|| format!("unknown architecture {value}: use x86_64 or aarch64"))
    }
}

/// How much of the program there is: an image that needs only an init need not carry the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    All,
    /// Without the OCI interface.
    Runtime,
    /// The init of a container, PID 1 of a machine, and `probe`.
    Init,
}

impl Face {
    const ALL: [Face; 3] = [Face::All, Face::Runtime, Face::Init];

    const fn name(self) -> &'static str {
        match self {
            Face::All => "all",
            Face::Runtime => "runtime",
            Face::Init => "init",
        }
    }

    /// The program's file name.
    const fn program(self) -> &'static str {
        match self {
            Face::All => "pipkin",
            Face::Runtime => "pipkin-runtime",
            Face::Init => "pipkin-init",
        }
    }

    /// Tells cargo to leave out the rest.
    fn choose(self, cargo: &mut Command) {
        match self {
            Face::All => cargo,
            Face::Runtime => cargo.args(["--no-default-features", "--features", "runtime"]),
            Face::Init => cargo.arg("--no-default-features"),
        };
    }
}

impl FromArgValue for Face {
    fn from_arg_value(value: &str) -> Result<Face, String> {
        let found = Face::ALL.into_iter().find(|face| face.name() == value);
        found.ok_or_else(|| format!("unknown face {value}: use all, runtime or init"))
    }
}

/// What `--target` names in a verb that builds.
pub(crate) enum Targets {
    One(Arch),
    All,
}

impl Targets {
    pub(crate) fn list(&self) -> &[Arch] {
        match self {
            Targets::One(arch) => std::slice::from_ref(arch),
            Targets::All => &Arch::ALL,
        }
    }
}

impl FromArgValue for Targets {
    fn from_arg_value(value: &str) -> Result<Targets, String> {
        if value == "all" { Ok(Targets::All) } else { Arch::from_arg_value(value).map(Targets::One) }
    }
}

/// Builds and checks the shipped program, and keeps it at `target/dist/ARCH/pipkin`, or `pipkin-FACE` when it is less
/// than all.
///
/// Where the standard library's source cannot be had the prebuilt one
/// is linked, about three times the bytes, and a line says so.
///
/// # Errors
/// The failed build, or the rule of [`elf::check_static`] that the program breaks.
pub(crate) fn static_binary(arch: Arch, face: Face) -> Result<PathBuf> {
    setup::rust_target(arch.triple())?;
    let rebuilt = match setup::rust_source() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("xtask: linking the prebuilt standard library, the program will be larger: {error:#}");
            false
        }
    };
    let mut cargo = command::cargo();
    cargo.args(["build", "--package", "pipkin", "--bin", "pipkin", "--profile", "dist", "--quiet"]);
    cargo.args(["--target", arch.triple()]);
    face.choose(&mut cargo);
    if rebuilt {
        rebuild_std(&mut cargo, arch)?;
    }
    command::run(&mut cargo)?;
    let (program, placement) = keep(arch, "dist", face.program())?;
    if rebuilt && placement == Placement::Fixed {
        bail!("{} is linked to a fixed address", program.display());
    }
    Ok(program)
}

/// Builds the shipped program once more, but with its symbol names left in; not kept in `target/dist`.
///
/// It has a build folder of its own: cargo takes the same profile with other settings for another build, and
/// would compile the standard library anew each time the two take turns.
///
/// # Errors
/// A failed build, or no source of the standard library.
pub(crate) fn with_symbols(arch: Arch, face: Face) -> Result<PathBuf> {
    setup::rust_target(arch.triple())?;
    setup::rust_source()?;
    let folder = command::target().join("size");
    let mut cargo = command::cargo();
    cargo.args(["build", "--package", "pipkin", "--bin", "pipkin", "--profile", "dist", "--quiet"]);
    cargo
        .args(["--target", arch.triple(), "--config", "profile.dist.strip=false", "--target-dir"])
        .arg(&folder);
    face.choose(&mut cargo);
    rebuild_std(&mut cargo, arch)?;
    command::run(&mut cargo)?;
    Ok(folder.join(arch.triple()).join("dist/pipkin"))
}

/// Builds the program with the test-only pause points, and keeps it at `target/dist/ARCH/pipkin-hooks`.
///
/// It links the prebuilt standard library: tests are about what the program does, and wait for this build.
///
/// # Errors
/// As [`static_binary`].
pub(crate) fn hooks_binary(arch: Arch) -> Result<PathBuf> {
    setup::rust_target(arch.triple())?;
    let mut cargo = command::cargo();
    cargo.args(["build", "--package", "pipkin", "--bin", "pipkin", "--release", "--quiet"]);
    cargo.args([
        "--target",
        arch.triple(),
        "--features",
        "test-hooks",
        "--config",
        "profile.release.strip=true",
    ]);
    command::run(&mut cargo)?;
    Ok(keep(arch, "release", "pipkin-hooks")?.0)
}

/// Adds what builds the standard library along with the program, for size.
///
/// A panic ends the program with an illegal instruction and no text: no formatting of messages, locations or
/// `{:?}` stays in the file. The library has no panicking path, and the binary's own errors are values.
fn rebuild_std(cargo: &mut Command, arch: Arch) -> Result<()> {
    // Every one of these is a compiler option that stable Rust has but does not promise to keep.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
    let mut flags: Vec<String> = RUSTFLAGS.iter().map(|flag| (*flag).to_owned()).collect();
    if arch == Arch::Aarch64 {
        flags.extend(position_independent(arch)?);
    }
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    Ok(())
}

/// Linker options that make a position-independent static program for a target whose default is a fixed address.
///
/// The compiler would begin the program with `crt1.o`, which expects to be where it was linked to. Told not to use
/// what the target brings along, it takes the start-up code named here; `rcrt1.o` relocates the program first. The
/// linker refuses (`-z text`) what would need its code changed in memory.
fn position_independent(arch: Arch) -> Result<Vec<String>> {
    let folder = setup::rustlib()?.join(arch.triple()).join("lib/self-contained");
    let folder = folder.to_str().context("the toolchain's folder is not UTF-8")?;
    let mut flags = vec!["-Clink-self-contained=no".to_owned(), format!("-Lnative={folder}")];
    flags.extend(["-pie", "--no-dynamic-linker", "-ztext"].map(|option| format!("-Clink-arg={option}")));
    flags.extend(["rcrt1.o", "crti.o", "crtn.o"].map(|file| format!("-Clink-arg={folder}/{file}")));
    Ok(flags)
}

/// Compiler and linker options of the shipped program; the sizes are of a program with argh and JSON in it.
///
/// It stays position-independent, so that the kernel can place it at random: 2 KB more than a fixed address, and no
/// difference in start time that stands out of the noise (medians of 2 000 starts each, taken in turns: 249 and
/// 253 µs). Folding of identical functions (`--icf=all`) would save 1 KB and is left out: it makes two functions
/// compare as one. `opt-level` in the profile: "z" is 6 % smaller than "s" and starts as fast.
const RUSTFLAGS: &[&str] = &[
    "-Zunstable-options",
    "-Cpanic=immediate-abort",
    "-Zlocation-detail=none",
    "-Zfmt-debug=none",
    "-Ctarget-feature=+crt-static",
    // A function with more than this on its stack stays one of its own: in the caller's frame every access to it would
    // be three bytes longer. 8 KB; half and twice the bound are no better.
    "-Cllvm-args=-inline-max-stacksize=512",
    // What is inlined is what makes its caller no larger; the compiler's own bound for size is 5: 1 KB. Below 0 the
    // callers grow.
    "-Cllvm-args=-inline-threshold=0",
    // Equal runs of instructions stand once, as on aarch64 without being asked: 16 KB on x86_64. A second pass over
    // what the first leaves, and merging functions that differ in constants, make it larger again.
    "-Cllvm-args=-enable-machine-outliner=always",
    // Nothing unwinds: 11 KB of tables.
    "-Cforce-unwind-tables=no",
    // A bit per relocated word instead of 24 bytes, 4 KB. The C library built into the target reads it (musl 1.2.4).
    "-Clink-arg=--pack-dyn-relocs=relr",
    "-Clink-arg=--build-id=none",
    // One symbol lookup table is more than a static program needs.
    "-Clink-arg=--hash-style=gnu",
];

/// Checks what cargo built and puts it where tests, the demo and people look for it.
///
/// By rename, so that a copy that is being run stays whole and the new one appears at once.
fn keep(arch: Arch, profile: &str, name: &str) -> Result<(PathBuf, Placement)> {
    let built = command::target().join(arch.triple()).join(profile).join("pipkin");
    let bytes = fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    let placement = elf::check_static(&bytes).with_context(|| format!("checking {}", built.display()))?;
    let folder = command::target().join("dist").join(arch.name());
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let kept = folder.join(name);
    let fresh = folder.join(format!("{name}.new-{}", std::process::id()));
    fs::copy(&built, &fresh).with_context(|| format!("writing {}", fresh.display()))?;
    fs::rename(&fresh, &kept).with_context(|| format!("renaming to {}", kept.display()))?;
    Ok((kept, placement))
}

/// What a person is told about a built program.
pub(crate) fn sentence(arch: Arch, program: &Path, size: u64) -> String {
    let (kib, percent) = (size.div_ceil(1024), size * 100 / SIZE_BAR);
    let bar = SIZE_BAR / 1024;
    format!("{arch}: {}: {size} bytes, {kib} KiB, {percent} % of the bar of {bar} KiB", program.display())
}

#[cfg(test)]
mod tests {
    use super::{Arch, Face, Targets, sentence};
    use argh::FromArgValue;
    use std::path::Path;

    #[test]
    fn targets_are_spelled_as_uname_does() {
        assert_eq!(Targets::from_arg_value("all").map(|found| found.list().len()), Ok(2));
        assert_eq!(Arch::from_arg_value("aarch64"), Ok(Arch::Aarch64));
        assert!(Arch::from_arg_value("arm64").is_err());
    }

    #[test]
    fn each_face_is_kept_under_a_name_of_its_own() {
        let mut names = Face::ALL.map(Face::program);
        names.sort_unstable();
        assert_eq!(names, ["pipkin", "pipkin-init", "pipkin-runtime"]);
        assert_eq!(Face::from_arg_value("init"), Ok(Face::Init));
        assert!(Face::from_arg_value("oci").is_err());
    }

    #[test]
    fn a_size_is_rounded_up() {
        let told = sentence(Arch::X86_64, Path::new("p"), 1025);
        assert_eq!(told, "x86_64: p: 1025 bytes, 2 KiB, 0 % of the bar of 300 KiB");
    }
}
