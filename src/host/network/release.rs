//! Giving back what a container had on the network.

use super::directory::Directory;
use super::{bridge, filter, forward, hosts, name, port};
use crate::error::Result;
use crate::host::lease::{Leases, Owner};
use crate::spec::Id;
use core::ffi::CStr;
use rustix::io::Errno;

/// The endings of the two lease files of a bridge.
const ENDINGS: [&[u8]; 2] = [b".4", b".6"];

/// Gives back what container `id` has on the network: ports when it may have `published` any, addresses, names; with
/// the last address of a bridge the bridge, and with the last bridge rules and forwarding. What is not there is no
/// error, so that this can be repeated. Its links go with its namespace.
///
/// # Errors
/// The first refusal met; what remains can be given back by the next call.
pub fn release(directory: &CStr, id: &Id, published: bool) -> Result<()> {
    let directory = match Directory::lock_existing(directory) {
        // Nothing was ever set up.
        Err(error) if error.errno == Errno::NOENT => return Ok(()),
        directory => directory?,
    };
    if published {
        port::withdraw(id)?;
    }
    let owner = Owner::new(id.as_str().as_bytes());
    let (mut in_use, mut left) = (false, false);
    each_bridge(&directory, &mut |bridge| {
        hosts::remove(&directory, bridge, id)?;
        let others = leave(&directory, bridge, owner)?;
        in_use |= others;
        left |= !others;
        Ok(())
    })?;
    if in_use && !left {
        return Ok(());
    }
    // Before a bridge goes: as long as the kernel is at that, whoever writes a switch is sent round and round.
    let last = !in_use && forward::is_noted(&directory)?;
    if last {
        filter::remove()?;
        forward::restore(&directory)?;
    }
    each_bridge(&directory, &mut |bridge| {
        if leave(&directory, bridge, owner)? {
            return Ok(());
        }
        let name = name(bridge)?;
        if !last {
            filter::expel(&name)?;
        }
        bridge::remove(&name)?;
        hosts::remove_shared(&directory, bridge)?;
        // Last of all: as long as they are there it is known that there is something to remove.
        ENDINGS.iter().try_for_each(|ending| directory.remove(&[bridge, ending]))
    })
}

/// Calls `see` with the name of each bridge that has a lease file.
fn each_bridge(directory: &Directory, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    directory.each(&mut |file| match ENDINGS.map(|ending| file.strip_suffix(ending)) {
        // Looked at together with the other one.
        [None, Some(bridge)] if directory.open_existing(&[bridge, ENDINGS[0]])?.is_some() => Ok(()),
        [Some(bridge), _] | [None, Some(bridge)] => see(bridge),
        [None, None] => Ok(()),
    })
}

/// Gives back the addresses that `owner` has on one bridge; says whether others are still there.
fn leave(directory: &Directory, bridge: &[u8], owner: Owner) -> Result<bool> {
    let mut others = false;
    for ending in ENDINGS {
        if let Some(file) = directory.open_existing(&[bridge, ending])?
            && let Some(mut leases) = Leases::reopen(file)?
        {
            leases.retain(&mut |holder| {
                others |= holder != owner;
                holder != owner
            })?;
        }
    }
    Ok(others)
}
