//! Randomness kept from one boot to the next, in `/var/lib/pipkin/seed`.
//!
//! A seed is credited once: its file is gone, for good, before that, and a new one is written from what the generator
//! gives afterwards. On a root that cannot be written to, or a copied disk, it would be the same twice, so there it is
//! mixed in and not believed.

use super::file;
use crate::error::{Error, Result, Stage};
use crate::sys::random::{SEED_LENGTH, credit};
use core::ffi::CStr;
use rustix::fs::{Access, Mode, OFlags, access, fsync, open, unlink};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

const DIRECTORY: &CStr = c"/var/lib/pipkin";
const SEED: &CStr = c"/var/lib/pipkin/seed";

/// Uses the seed, if there is one, and leaves another, if there is a directory for it.
///
/// # Errors
/// What kept a seed that is there from being used.
pub(super) fn sow() -> Result<()> {
    let failed = |errno| Error::on("use the seed", SEED.to_bytes(), errno);
    let mut seed = [0; SEED_LENGTH];
    match file::read_whole(SEED, &mut seed) {
        Ok(SEED_LENGTH) => {
            let once = forget().is_ok();
            mix(&seed, once).map_err(failed)?;
        }
        // None, or half of one: a new one takes its place.
        Ok(_) => {}
        Err(error) if error.errno == Errno::NOENT => {}
        Err(error) => return Err(error),
    }
    if access(DIRECTORY, Access::WRITE_OK).is_err() {
        return Ok(());
    }
    match getrandom(&mut seed, GetRandomFlags::NONBLOCK) {
        Ok(SEED_LENGTH) => file::make(SEED, OFlags::TRUNC, &seed).stage_on("keep the seed", SEED.to_bytes()),
        // Not ready this early without a seed: nothing worth keeping.
        _ => Ok(()),
    }
}

/// Removes the seed so that it stays removed.
fn forget() -> rustix::io::Result<()> {
    unlink(SEED)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fsync(open(DIRECTORY, flags, Mode::empty())?)
}

fn mix(seed: &[u8; SEED_LENGTH], believed: bool) -> rustix::io::Result<()> {
    let device = open(c"/dev/urandom", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    if believed { credit(&device, seed) } else { rustix::io::write(&device, seed).map(drop) }
}
