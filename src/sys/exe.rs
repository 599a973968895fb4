//! Running on from another file of the same program.
//!
//! The kernel shows the file that a process was started from as `/proc/PID/exe`, and whoever opens that link reaches
//! the file itself, wherever it is. Until a container's first process is the container's program, that file is the
//! host's own Pipkin (CVE-2019-5736). The kernel lets go of it when none of it is mapped any more, so all of it is
//! mapped anew, from a file with the same bytes: with the same page cache where that is the same file on a read-only
//! mount, or from a sealed copy in memory.
//!
//! Dangers: the pages that are exchanged are the ones that run. The kernel exchanges each mapping in one step; nothing
//! else may run in this process meanwhile, so this is for the only thread of a fresh child.

use super::arch::syscall_in_place;
use super::auxv;
use core::ffi::CStr;
use core::mem::size_of;
use linux_raw_sys::elf::{Elf_Ehdr, Elf_Phdr, PF_W, PF_X, PT_LOAD};
use linux_raw_sys::{general as raw, prctl};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    CWD, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, fstat, memfd_create, open, openat, sendfile,
};
use rustix::io::{Errno, Result, read};

unsafe extern "C" {
    /// Where the linker put the program's first byte, which is the first of its ELF header (elf(5)).
    static __executable_start: u8;
}

/// The link to the file that this process runs from.
const OWN: &CStr = c"/proc/self/exe";

/// Runs on from `file`: this program's own file, opened for reading by way of another mount.
///
/// # Errors
/// `EXDEV` when it is another file, `EPERM` under a filter that keeps the link as it is, `EINVAL` on a kernel without
/// CONFIG_CHECKPOINT_RESTORE when only privileged in a user namespace, and those of mmap(2).
pub fn run_from(file: BorrowedFd<'_>) -> Result<()> {
    let (own, other) = (rustix::fs::stat(OWN)?, fstat(file)?);
    if (own.st_dev, own.st_ino) != (other.st_dev, other.st_ino) {
        return Err(Errno::XDEV);
    }
    // The kernel lets nobody write to a file that runs, so the bytes are those that were mapped at the start.
    exchange(file)
}

/// Runs on from a copy in memory that nothing can change (memfd_create(2), `F_SEAL_WRITE`).
///
/// # Errors
/// Those of [`run_from`], memfd_create(2) and sendfile(2).
pub fn run_from_copy() -> Result<()> {
    let copy = memfd_create(c"pipkin", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    copy_to(&copy)?;
    fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    let mut path = heapless::String::<32>::new();
    ufmt::uwrite!(&mut path, "/proc/self/fd/{}\0", copy.as_raw_fd()).map_err(|_| Errno::NAMETOOLONG)?;
    let path = CStr::from_bytes_until_nul(path.as_bytes()).map_err(|_| Errno::INVAL)?;
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // A file that is open for writing cannot be what runs.
    drop(copy);
    exchange(file.as_fd())
}

/// Writes this program's own file to `target`.
///
/// # Errors
/// Those of open(2) and sendfile(2).
pub fn copy_to(target: &OwnedFd) -> Result<()> {
    let own = openat(CWD, OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let size = usize::try_from(fstat(&own)?.st_size).map_err(|_| Errno::FBIG)?;
    let mut copied = 0_usize;
    while copied < size {
        match sendfile(target, &own, None, size.saturating_sub(copied))? {
            0 => return Err(Errno::IO),
            length => copied = copied.saturating_add(length),
        }
    }
    Ok(())
}

/// Maps every segment of the program from `file`, which has the same bytes, and makes it the file that runs.
fn exchange(file: BorrowedFd<'_>) -> Result<()> {
    let page = auxv::page_size().ok_or(Errno::NOSYS)?;
    let start = &raw const __executable_start;
    // SAFETY: the program's file is mapped from its first byte on, which begins a whole ELF header.
    let header = unsafe { start.cast::<Elf_Ehdr>().read_unaligned() };
    let table = start.wrapping_add(header.e_phoff).cast::<Elf_Phdr>();
    let mut bias = None;
    for index in 0..usize::from(header.e_phnum) {
        // SAFETY: the header says where the table is, in the first segment, and how long.
        let segment = unsafe { table.wrapping_add(index).read_unaligned() };
        if segment.p_type != PT_LOAD || segment.p_filesz == 0 {
            continue;
        }
        // The first segment is the one with the header.
        let bias = *bias.get_or_insert(start.addr().wrapping_sub(segment.p_vaddr));
        map(file, &segment, bias, page)?;
    }
    name(file)
}

/// Puts a mapping of `file` in the place of the segment's.
fn map(file: BorrowedFd<'_>, segment: &Elf_Phdr, bias: usize, page: usize) -> Result<()> {
    let below = segment.p_vaddr & (page - 1);
    let place = bias.wrapping_add(segment.p_vaddr - below);
    // What lies behind the file's part is memory of no file already.
    let length = (below + segment.p_filesz).next_multiple_of(page);
    if segment.p_flags & PF_W != 0 {
        return copy(place, length);
    }
    let access = raw::PROT_READ | if segment.p_flags & PF_X != 0 { raw::PROT_EXEC } else { 0 };
    let flags = raw::MAP_PRIVATE | raw::MAP_FIXED;
    let offset = segment.p_offset - below;
    let fd = file.as_raw_fd() as usize;
    // SAFETY: the bytes mapped are those that were there, with the same access: what is not writable was never
    // written to, not even by relocation. The kernel exchanges them in one step.
    unsafe {
        syscall_in_place(raw::__NR_mmap, [place, length, access as usize, flags as usize, fd, offset])
    }?;
    Ok(())
}

/// Puts memory of no file, with the same contents, in the place of variables.
#[inline(never)]
fn copy(place: usize, length: usize) -> Result<()> {
    let access = (raw::PROT_READ | raw::PROT_WRITE) as usize;
    // Every page of it is written to at once.
    let flags = (raw::MAP_PRIVATE | raw::MAP_ANONYMOUS | raw::MAP_POPULATE) as usize;
    // SAFETY: new memory, at a place of the kernel's choice.
    let new = unsafe { syscall_in_place(raw::__NR_mmap, [0, length, access, flags, usize::MAX, 0]) }?;
    let from = core::ptr::with_exposed_provenance::<u8>(place);
    let to = core::ptr::with_exposed_provenance_mut::<u8>(new);
    // SAFETY: both are `length` bytes long, the first mapped by the kernel at the start, the second just now.
    unsafe { core::ptr::copy_nonoverlapping(from, to, length) };
    let flags = (raw::MREMAP_MAYMOVE | raw::MREMAP_FIXED) as usize;
    // SAFETY: nothing but this thread's stack and registers changed since the copy, and neither is in there: the same
    // values appear in one step where the variables are.
    unsafe { syscall_in_place(raw::__NR_mremap, [new, length, length, flags, place, 0]) }?;
    Ok(())
}

/// Makes `file` what `/proc/self/exe` leads to: by the right over resources, or by that to restore processes, which a
/// user namespace can give too (prctl(2) `PR_SET_MM`).
fn name(file: BorrowedFd<'_>) -> Result<()> {
    let fd = file.as_raw_fd() as usize;
    let (option, what) = (prctl::PR_SET_MM as usize, prctl::PR_SET_MM_EXE_FILE as usize);
    // SAFETY: numbers only.
    match unsafe { syscall_in_place(raw::__NR_prctl, [option, what, fd, 0, 0, 0]) } {
        Err(Errno::PERM) => {}
        done => return done.map(drop),
    }
    let map = layout(file)?;
    let (what, size) = (prctl::PR_SET_MM_MAP as usize, size_of::<prctl::prctl_mm_map>());
    // SAFETY: `map` is a whole prctl_mm_map, read during the call, that says of this memory what the kernel says of it.
    unsafe { syscall_in_place(raw::__NR_prctl, [option, what, &raw const map as usize, size, 0, 0]) }?;
    Ok(())
}

/// This memory's layout as the kernel tells it, with `file` as what runs.
fn layout(file: BorrowedFd<'_>) -> Result<prctl::prctl_mm_map> {
    let mut text = [0; 1024];
    let length = read(open(c"/proc/self/stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, &mut text)?;
    let text = text.get(..length).unwrap_or_default();
    // The name, in parentheses, may hold anything; it is field 2 (proc_pid_stat(5)).
    let end = text.iter().rposition(|byte| *byte == b')').ok_or(Errno::INVAL)?;
    let field = |number: usize| {
        let mut fields = text.get(end..).unwrap_or_default().split(|byte| *byte == b' ');
        let digits = fields.nth(number - 2).ok_or(Errno::INVAL)?;
        Ok(digits
            .iter()
            .fold(0_u64, |value, digit| value.wrapping_mul(10).wrapping_add((digit & 0xf).into())))
    };
    // SAFETY: an address of null asks where the heap ends and moves nothing (brk(2)).
    let brk = unsafe { syscall_in_place(raw::__NR_brk, [0; 6]) }?;
    Ok(prctl::prctl_mm_map {
        start_code: field(26)?,
        end_code: field(27)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk: brk as u64,
        start_stack: field(28)?,
        arg_start: field(48)?,
        arg_end: field(49)?,
        env_start: field(50)?,
        env_end: field(51)?,
        auxv: core::ptr::null_mut(),
        auxv_size: 0,
        exe_fd: file.as_raw_fd() as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::super::process::{Side, clone, exit};
    use super::*;
    use linux_raw_sys::general::CLONE_NEWUSER;
    use rustix::fs::readlinkat_raw;
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    static VARIABLE: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(7);

    fn runs_from_copy() -> Result<bool> {
        VARIABLE.store(8, core::sync::atomic::Ordering::Relaxed);
        run_from_copy()?;
        let mut buffer = [core::mem::MaybeUninit::uninit(); 64];
        let (target, _) = readlinkat_raw(CWD, OWN, &mut buffer)?;
        let kept = VARIABLE.load(core::sync::atomic::Ordering::Relaxed) == 8;
        let writable = open(OWN, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).is_ok();
        Ok(target.starts_with(b"/memfd:pipkin") && kept && !writable)
    }

    /// What comes of it in a child with these namespaces: 0 when all is well.
    fn in_child(flags: u32, act: fn() -> Result<bool>) -> Option<i32> {
        match clone(u64::from(flags), None).unwrap() {
            Side::Child => exit(match act() {
                Ok(well) => u8::from(!well),
                Err(errno) => errno.raw_os_error() as u8,
            }),
            Side::Parent(_, pidfd) => {
                waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap().exit_status()
            }
        }
    }

    #[test]
    fn it_runs_on_from_a_copy() {
        assert_eq!(in_child(0, runs_from_copy), Some(0));
        // Without rights over the machine, but over a user namespace.
        assert_eq!(in_child(CLONE_NEWUSER, runs_from_copy), Some(0));
    }

    #[test]
    fn another_file_is_refused() {
        let refused = || {
            let other = open(c"/etc/passwd", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            Ok(run_from(other.as_fd()) == Err(Errno::XDEV))
        };
        assert_eq!(in_child(0, refused), Some(0));
    }
}
