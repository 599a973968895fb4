//! What the shipped file must be: static, stripped, and with no memory both writable and executable.

use anyhow::{Context, Result, bail};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object};

/// Checks the bytes of a finished program.
///
/// # Errors
/// One sentence per broken rule, joined; or the ELF reader's complaint.
pub(crate) fn check_static(bytes: &[u8]) -> Result<()> {
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
    if !matches!(file.elf_header().e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
        broken.push("not a program".to_owned());
    }
    if file.import_libraries().context("reading PT_DYNAMIC")?.next().is_some() {
        broken.push("needs a shared library (DT_NEEDED)".to_owned());
    }
    if file.symbols().next().is_some() {
        broken.push("not stripped".to_owned());
    }
    if broken.is_empty() { Ok(()) } else { bail!("{}", broken.join("; ")) }
}
