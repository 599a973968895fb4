//! What shows of the layers below the one being made, as overlayfs would show it.

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::beneath::Root;
use crate::name::Name;

/// Directories of layers, lowest first.
#[derive(Debug)]
pub(super) struct Lower(pub(super) Vec<Root>);

/// What shows at a name.
pub(super) enum Shown {
    /// Nothing: it was never there, or is deleted.
    Nothing,
    /// Nothing, because this name above it is no directory.
    Blocked(Name),
    /// This.
    Stat(Stat),
}

impl Lower {
    /// Looks `name` up, topmost layer first.
    pub(super) fn look_up(&self, name: &Name, opaque: &str) -> rustix::io::Result<Shown> {
        // How many of the directories on the way a higher layer has.
        let mut had = 0;
        for layer in self.0.iter().rev() {
            match layer.stat(name) {
                Ok(stat) if is_whiteout(&stat) => return Ok(Shown::Nothing),
                Ok(stat) => return Ok(Shown::Stat(stat)),
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno),
            }
            let mut hides_lower = false;
            for (depth, ancestor) in name.ancestors().enumerate() {
                match layer.stat(&ancestor) {
                    Ok(stat) if is_whiteout(&stat) => return Ok(Shown::Nothing),
                    Ok(stat) if !FileType::from_raw_mode(stat.st_mode).is_dir() => {
                        return Ok(if depth < had { Shown::Nothing } else { Shown::Blocked(ancestor) });
                    }
                    Ok(_) => {
                        had = had.max(depth + 1);
                        hides_lower |= is_opaque(layer, &ancestor, opaque)?;
                    }
                    Err(Errno::NOENT) => break,
                    Err(errno) => return Err(errno),
                }
            }
            if hides_lower {
                return Ok(Shown::Nothing);
            }
        }
        Ok(Shown::Nothing)
    }
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

fn is_opaque(layer: &Root, directory: &Name, xattr: &str) -> rustix::io::Result<bool> {
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(layer.open_directory(directory)?, xattr, &mut value) {
        Ok(_) => Ok(value == *b"y"),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
        // A longer value says something else.
        Err(Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}
