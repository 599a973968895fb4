//! One layer of an image: what its archive says is there, and what it says is gone
//! (OCI image specification, "Image Layer Filesystem Changeset").
//!
//! [`Layer`] is a sink that stands before another: it passes entries on, makes way for them where a lower layer
//! left something of another kind, and keeps whiteouts (`.wh.NAME` deletes `NAME` of lower layers, `.wh..wh..opq`
//! all that lower layers have in its directory) until the end of the layer, because what a layer brings itself is
//! never deleted by it, in whatever order the entries come.

use std::collections::BTreeSet;
use std::io::{self, Read};

use crate::error::{Doing, Error, Result};
use crate::meta::{Attributes, Special};
use crate::name::Name;
use crate::sink::Sink;

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names with this prefix are notes of a storage driver to itself.
const DRIVER_PREFIX: &[u8] = b".wh..wh.";

/// A layer being written to a sink.
pub struct Layer<'s> {
    sink: &'s mut dyn Sink,
    /// What this layer brought, directories on the way included.
    written: BTreeSet<Name>,
    whiteouts: BTreeSet<Name>,
    opaque: BTreeSet<Name>,
}

enum Marker {
    Whiteout(Name),
    Opaque(Name),
    Driver,
}

impl<'s> Layer<'s> {
    /// A layer above everything that `sink` took so far.
    pub fn new(sink: &'s mut dyn Sink) -> Layer<'s> {
        let [written, whiteouts, opaque] = [const { BTreeSet::new() }; 3];
        Layer { sink, written, whiteouts, opaque }
    }

    /// Carries out the deletions.
    pub fn finish(self) -> Result<()> {
        let deleted_with = |parent: &Name| self.opaque.contains(parent) || self.whiteouts.contains(parent);
        let outermost = |name: &&Name| {
            let root_is = !name.is_root() && deleted_with(&Name::ROOT);
            !root_is && !name.ancestors().any(|parent| deleted_with(&parent))
        };
        for name in self.opaque.difference(&self.whiteouts).filter(outermost) {
            self.sink.opaque(name, &self.written)?;
        }
        for name in self.whiteouts.iter().filter(outermost) {
            if self.written.contains(name) {
                // The layer deletes and brings it: what it brings is all there is.
                self.sink.opaque(name, &self.written)?;
            } else {
                self.sink.whiteout(name)?;
            }
        }
        Ok(())
    }

    fn before(&mut self, name: &Name, for_directory: bool) -> Result<()> {
        if !self.written.contains(name) {
            self.sink.make_way(name, for_directory)?;
            self.written.extend(name.ancestors());
            self.written.insert(name.clone());
        }
        Ok(())
    }
}

fn marker(name: &Name) -> Result<Option<Marker>> {
    let Some((parent, last)) = name.split() else { return Ok(None) };
    if last == OPAQUE {
        return Ok(Some(Marker::Opaque(parent)));
    }
    if name.components().any(|part| part.starts_with(DRIVER_PREFIX)) {
        return Ok(Some(Marker::Driver));
    }
    let Some(deleted) = last.strip_prefix(PREFIX) else { return Ok(None) };
    if matches!(deleted, b"" | b"." | b"..") {
        return Err(Error::refused("apply", name, "a whiteout that names no file"));
    }
    Ok(Some(Marker::Whiteout(parent.join(deleted).map_err(io::Error::other).doing("apply", || name)?)))
}

impl Sink for Layer<'_> {
    fn directory(&mut self, name: &Name, attributes: &Attributes) -> Result<()> {
        if let Some(Marker::Driver) = marker(name)? {
            return Ok(());
        }
        self.before(name, true)?;
        self.sink.directory(name, attributes)
    }

    fn file(&mut self, name: &Name, attributes: &Attributes, data: &mut dyn Read) -> Result<u64> {
        match marker(name)? {
            Some(Marker::Whiteout(deleted)) => self.whiteouts.insert(deleted),
            Some(Marker::Opaque(directory)) => self.opaque.insert(directory),
            Some(Marker::Driver) => false,
            None => {
                self.before(name, false)?;
                return self.sink.file(name, attributes, data);
            }
        };
        Ok(0)
    }

    fn symlink(&mut self, name: &Name, attributes: &Attributes, target: &[u8]) -> Result<()> {
        self.before(name, false)?;
        self.sink.symlink(name, attributes, target)
    }

    fn hard_link(&mut self, name: &Name, existing: &Name) -> Result<()> {
        if marker(name)?.is_some() {
            // Some drivers link their whiteouts to one file.
            return self.file(name, &Attributes::DIRECTORY, &mut io::empty()).map(drop);
        }
        self.before(name, false)?;
        self.sink.hard_link(name, existing)
    }

    fn special(&mut self, name: &Name, attributes: &Attributes, special: Special) -> Result<()> {
        self.before(name, false)?;
        self.sink.special(name, attributes, special)
    }

    fn takes_devices(&self) -> bool {
        self.sink.takes_devices()
    }

    fn make_way(&mut self, name: &Name, for_directory: bool) -> Result<()> {
        self.sink.make_way(name, for_directory)
    }

    fn whiteout(&mut self, name: &Name) -> Result<()> {
        self.whiteouts.insert(name.clone());
        Ok(())
    }

    fn opaque(&mut self, name: &Name, _written: &BTreeSet<Name>) -> Result<()> {
        self.opaque.insert(name.clone());
        Ok(())
    }
}
