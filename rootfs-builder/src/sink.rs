//! What a root file system can be written to: the one interface between sources and sinks.

use std::collections::BTreeSet;
use std::io::Read;

use crate::error::Result;
use crate::meta::{Attributes, Special};
use crate::name::Name;

/// Takes the entries of a root file system one by one.
///
/// A name's directories that were never named are made, root's and 0755. Something that is no directory replaces
/// what stood at its name; it never replaces a directory, nor does a directory replace it. No name leads through a
/// symbolic link. What breaks these rules is an error with the name.
pub trait Sink {
    /// Makes a directory, or gives the one that is there these attributes.
    fn directory(&mut self, name: &Name, attributes: &Attributes) -> Result<()>;

    /// Makes a regular file of everything `data` yields and returns its size in bytes.
    fn file(&mut self, name: &Name, attributes: &Attributes, data: &mut dyn Read) -> Result<u64>;

    /// Makes a symbolic link. Its target is not looked at.
    fn symlink(&mut self, name: &Name, attributes: &Attributes, target: &[u8]) -> Result<()>;

    /// Makes a further name for `existing`, which must be there already and no directory.
    fn hard_link(&mut self, name: &Name, existing: &Name) -> Result<()>;

    /// Makes a device node, a named pipe or a socket's name.
    fn special(&mut self, name: &Name, attributes: &Attributes, special: Special) -> Result<()>;

    /// Whether it takes device nodes.
    fn takes_devices(&self) -> bool;

    /// Before an entry of a layer is made at `name`: removes what a lower layer left there if it is of the other
    /// sort, a directory or not.
    fn make_way(&mut self, name: &Name, for_directory: bool) -> Result<()>;

    /// A layer deletes what lower ones have at `name`. Nothing being there is success, and nothing is there if a link or
    /// a file is on the way.
    fn whiteout(&mut self, name: &Name) -> Result<()>;

    /// A layer deletes what lower ones have in the directory `name`, all but `written`, which is its own.
    fn opaque(&mut self, name: &Name, written: &BTreeSet<Name>) -> Result<()>;
}
