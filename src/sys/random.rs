//! Telling the kernel's random number generator how good a seed is: random(4), `RNDADDENTROPY`.

use super::arch::syscall;
use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Result;

/// Bytes of a seed: what the generator's pool takes without loss.
pub const SEED_LENGTH: usize = 512;

/// `struct rand_pool_info` (include/uapi/linux/random.h) with a whole seed.
#[repr(C)]
struct Pool {
    bits: i32,
    length: i32,
    seed: [u8; SEED_LENGTH],
}

/// Mixes `seed` into the generator of `device` (`/dev/urandom`) and credits it with all of its bits.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `ENOTTY` when it is another device.
pub fn credit<Fd: AsFd>(device: Fd, seed: &[u8; SEED_LENGTH]) -> Result<()> {
    // _IOW('R', 0x03, int[2])
    const RNDADDENTROPY: usize = 0x4008_5203;
    let pool = Pool { bits: SEED_LENGTH as i32 * 8, length: SEED_LENGTH as i32, seed: *seed };
    let args = [device.as_fd().as_raw_fd() as usize, RNDADDENTROPY, &raw const pool as usize, 0, 0, 0];
    // SAFETY: `pool` is a whole rand_pool_info whose length is that of its array; the call only reads it.
    unsafe { syscall(raw::__NR_ioctl, args) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::Errno;

    #[test]
    fn only_the_generator_takes_a_seed() {
        let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert_eq!(credit(&null, &[0; SEED_LENGTH]), Err(Errno::NOTTY));
    }
}
