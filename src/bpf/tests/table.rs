//! The table of system calls.

use super::super::policy::Arch;
use super::super::syscall::Syscall;
use super::std::vec::Vec;

/// The numbers of `arch`, in order.
fn numbers(arch: Arch) -> Vec<u32> {
    let mut numbers: Vec<u32> = Syscall::all().filter_map(|call| call.number(arch)).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn no_number_is_left_out() {
    // 337 to 423 and 295 to 423 were skipped when the architectures agreed on numbers from 424 on; 244 to 259 are for
    // calls of one architecture under the generic table, and aarch64 has none.
    assert_eq!(numbers(Arch::X86_64), (0..=336).chain(424..=469).collect::<Vec<_>>());
    assert_eq!(numbers(Arch::Aarch64), (0..=243).chain(260..=294).chain(424..=469).collect::<Vec<_>>());
}

#[test]
fn calls_are_found_by_name() {
    let openat = Syscall::named("openat").unwrap();
    assert_eq!((openat.number(Arch::X86_64), openat.number(Arch::Aarch64)), (Some(257), Some(56)));
    assert_eq!(Syscall::named("open").unwrap().number(Arch::Aarch64), None);
    assert_eq!(Syscall::named("openat9"), None);
}

#[test]
fn names_of_other_architectures_are_known() {
    let numbers = |name| Syscall::named(name).map(|call| Arch::ALL.map(|arch| call.number(arch)));
    assert_eq!(numbers("socketcall"), Some([None, None, Some(102), None]));
    assert_eq!(numbers("cacheflush"), Some([None, None, None, Some(0xf_0002)]));
    assert_eq!(numbers("getuid32"), Some([None, None, Some(199), Some(199)]));
    assert_eq!(numbers("s390_pci_mmio_read"), Some([None; 4]));
    assert!(Syscall::all().all(|call| Syscall::named(call.name()) == Some(call)));
}
