//! What the shipped file must be: static, stripped, and with no memory both writable and executable.

use anyhow::{Context, Result, bail};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object};

/// Whether the kernel may choose where a program stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// At random (ET_DYN).
    Independent,
    /// At the linked address (ET_EXEC).
    Fixed,
}

/// Checks the bytes of a finished program.
///
/// # Errors
/// One sentence per broken rule, joined; or the ELF reader's complaint.
pub(crate) fn check_static(bytes: &[u8]) -> Result<Placement> {
    let file = ElfFile64::<Endianness>::parse(bytes).context("reading the ELF headers")?;
    let endian = file.endian();
    let mut broken = Vec::new();
    let mut has_stack_header = false;
    for segment in file.elf_program_headers() {
        let flags = segment.p_flags(endian);
        let (writable, executable) = (flags.contains(elf::PF_W), flags.contains(elf::PF_X));
        match segment.p_type(endian) {
            elf::PT_INTERP => broken.push("asks for a dynamic loader (PT_INTERP)".to_owned()),
            elf::PT_LOAD if writable && executable => {
                broken.push(format!("segment at {:#x} is writable and executable", segment.p_vaddr(endian)));
            }
            elf::PT_GNU_STACK => {
                has_stack_header = true;
                if executable {
                    broken.push("executable stack".to_owned());
                }
            }
            _ => {}
        }
    }
    // Without the header the kernel of some architectures makes the stack executable.
    if !has_stack_header {
        broken.push("no PT_GNU_STACK header".to_owned());
    }
    let placement = match file.elf_header().e_type(endian) {
        elf::ET_DYN => Placement::Independent,
        elf::ET_EXEC => Placement::Fixed,
        other => bail!("not a program but an ELF file of type {}", other.0),
    };
    if file.import_libraries().context("reading PT_DYNAMIC")?.next().is_some() {
        broken.push("needs a shared library (DT_NEEDED)".to_owned());
    }
    if file.symbols().next().is_some() {
        broken.push("not stripped".to_owned());
    }
    if broken.is_empty() { Ok(placement) } else { bail!("{}", broken.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::check_static;

    #[test]
    fn an_ordinary_program_is_refused() {
        // This test itself: it has a dynamic loader, shared libraries and symbols.
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let told = check_static(&bytes).unwrap_err().to_string();
        assert!(
            told.contains("PT_INTERP") && told.contains("DT_NEEDED") && told.contains("not stripped"),
            "{told}"
        );
    }

    #[test]
    fn a_broken_file_is_refused() {
        assert!(check_static(b"#!/bin/sh\n").is_err());
        assert!(check_static(b"\x7fELF").is_err());
    }
}
