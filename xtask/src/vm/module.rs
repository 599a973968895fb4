//! Which kernel modules the machine loads, and in which order.
//!
//! An unpacked kernel has no `modules.dep`: that is made when a package is installed. The same facts stand in each
//! module's `.modinfo` section as `depends=` (scripts/mod/modpost.c of the kernel).

use anyhow::{Context, Result};
use object::{Object, ObjectSection};
use rootfs_builder::compress::{Decoder, Limits};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A module ready to be loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// Its name, as in `lsmod`.
    pub(super) name: String,
    /// The ELF file, not compressed: the emulated machine would be slow at that.
    pub(super) bytes: Vec<u8>,
}

/// What came of a wish for modules.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Each after those it depends on.
    pub(super) modules: Vec<Module>,
    /// Wished for, but neither built in nor in the package.
    pub(super) missing: Vec<String>,
}

/// Selects the modules of `wanted` and what they depend on from the folder of one kernel's modules.
///
/// # Errors
/// An unreadable folder, or a module that is no ELF file.
pub(super) fn select(folder: &Path, wanted: &[&str]) -> Result<Selection> {
    let built_in = fs::read_to_string(folder.join("modules.builtin")).context("reading modules.builtin")?;
    let built_in = built_in.lines().filter_map(|line| name_of(Path::new(line))).collect();
    let mut search = Search { files: files(folder)?, built_in, seen: HashMap::new(), found: Vec::new() };
    let mut missing = Vec::new();
    for name in wanted {
        if !search.add(name)? {
            missing.push((*name).to_owned());
        }
    }
    Ok(Selection { modules: search.found, missing })
}

struct Search {
    files: HashMap<String, PathBuf>,
    built_in: HashSet<String>,
    /// Whether everything that a module needs exists.
    seen: HashMap<String, bool>,
    found: Vec<Module>,
}

impl Search {
    /// Adds what `name` depends on, then itself. False when any of that does not exist.
    fn add(&mut self, name: &str) -> Result<bool> {
        let name = name.replace('-', "_");
        if self.built_in.contains(&name) {
            return Ok(true);
        }
        if let Some(complete) = self.seen.get(&name) {
            return Ok(*complete);
        }
        let Some(path) = self.files.get(&name) else { return Ok(false) };
        let bytes = read(path).with_context(|| format!("reading {}", path.display()))?;
        let depends = depends(&bytes).with_context(|| format!("reading {}", path.display()))?;
        // Before its dependencies, so that a circle ends.
        self.seen.insert(name.clone(), true);
        for needed in depends {
            if !self.add(&needed)? {
                self.seen.insert(name, false);
                return Ok(false);
            }
        }
        self.found.push(Module { name, bytes });
        Ok(true)
    }
}

/// Every module file below `folder`, by the module's name.
fn files(folder: &Path) -> Result<HashMap<String, PathBuf>> {
    let mut found = HashMap::new();
    let mut pending = vec![folder.join("kernel")];
    while let Some(folder) = pending.pop() {
        let reading = || format!("reading folder {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            if entry.file_type().with_context(reading)?.is_dir() {
                pending.push(entry.path());
            } else if let Some(name) = name_of(&entry.path()) {
                found.insert(name, entry.path());
            }
        }
    }
    Ok(found)
}

/// `…/virtio-rng.ko.xz` is the module `virtio_rng`.
fn name_of(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].into_iter().find_map(|end| file.strip_suffix(end))?;
    Some(stem.replace('-', "_"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Decoder::new(File::open(path)?, Limits::default())?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The names after `depends=` in a module's strings.
fn depends(elf: &[u8]) -> Result<Vec<String>> {
    let elf = object::File::parse(elf)?;
    let section = elf.section_by_name(".modinfo").context("looking for the section .modinfo")?;
    let list = section.data()?.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(b"depends="));
    let list = std::str::from_utf8(list.unwrap_or_default())?;
    Ok(list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::{name_of, select};
    use object::write::{Object, StandardSegment};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind};
    use std::fs;
    use std::path::Path;

    fn module(modinfo: &[u8]) -> Vec<u8> {
        let mut elf = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let segment = elf.segment_name(StandardSegment::Data).to_vec();
        let section = elf.add_section(segment, b".modinfo".to_vec(), SectionKind::ReadOnlyData);
        elf.append_section_data(section, modinfo, 1);
        elf.write().unwrap()
    }

    #[test]
    fn what_a_module_needs_is_loaded_before_it_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = folder.path().join("kernel/net");
        fs::create_dir_all(&kernel).unwrap();
        fs::write(folder.path().join("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").unwrap();
        let write = |name: &str, modinfo: &[u8]| fs::write(kernel.join(name), module(modinfo)).unwrap();
        write("bridge.ko", b"license=GPL\0depends=stp,llc\0");
        write("stp.ko", b"depends=llc\0");
        write("llc.ko", b"depends=\0");
        write("virtio-rng.ko", b"depends=ext4\0");
        write("broken.ko", b"depends=llc,gone\0");
        let wanted = ["bridge", "virtio_rng", "ext4", "llc", "absent", "broken", "broken"];
        let selection = select(folder.path(), &wanted).unwrap();
        let names: Vec<&str> = selection.modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["llc", "stp", "bridge", "virtio_rng"]);
        assert_eq!(selection.missing, ["absent", "broken", "broken"]);
    }

    #[test]
    fn what_is_no_module_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("kernel")).unwrap();
        fs::write(folder.path().join("modules.builtin"), "").unwrap();
        fs::write(folder.path().join("kernel/x.ko"), "text").unwrap();
        assert!(select(folder.path(), &["x"]).is_err());
        assert!(select(folder.path(), &["y"]).unwrap().modules.is_empty());
    }

    #[test]
    fn compressed_and_hyphenated_names_are_modules() {
        assert_eq!(name_of(Path::new("a/virtio-rng.ko.xz")).as_deref(), Some("virtio_rng"));
        assert_eq!(name_of(Path::new("modules.order")), None);
    }
}
