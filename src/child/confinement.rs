//! Handing the process over to the kernel: the filter, Landlock rules and labels.

use super::path::{self, Links};
use super::{State, channel, write_whole};
use crate::plan::Report;
use crate::spec::{Filter, PathRule};
use crate::sys::landlock::{
    READ_DIRECTORY, READ_FILE, REFER, Ruleset, TRUNCATE, WRITE_DIRECTORY, WRITE_FILE, version,
};
use crate::sys::seccomp::{self, Flags};
use core::ffi::CStr;
use rustix::fd::AsFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatfs, openat};
use rustix::io::{Errno, Result};

/// Longest label.
const LABEL_CAPACITY: usize = 512;

impl State<'_> {
    /// Installs the filter. What it asks is asked by whoever the host hands its listener to.
    ///
    /// # Errors
    /// Those of seccomp(2) and sendmsg(2); a filter may well refuse the latter.
    pub(super) fn install(&self, filter: &Filter<'_>) -> Result<()> {
        let Filter { program, log, allow_speculation, asks, .. } = *filter;
        // There is no other thread to take it to.
        let flags = Flags { log, allow_speculation, all_threads: false };
        if !asks {
            return seccomp::install(program, flags);
        }
        let listener = seccomp::install_with_listener(program, flags)?;
        let host = self.starter.as_ref().map_or(self.context.channel.as_fd(), AsFd::as_fd);
        channel::send_descriptor(host, Report::Listener, listener.as_fd())
    }

    /// Gives up all paths but these. What this kernel does not know is left out: the plan saw to it that it was asked
    /// whether that will do.
    ///
    /// # Errors
    /// `ENOENT` for a path that is not there.
    pub(super) fn restrict_paths(&self, rules: &[PathRule<'_>]) -> Result<()> {
        let known = match version() {
            0 => return Ok(()),
            1 => 0,
            2 => REFER,
            _ => REFER | TRUNCATE,
        };
        let read = READ_FILE | READ_DIRECTORY;
        let ruleset = Ruleset::new(read | WRITE_FILE | WRITE_DIRECTORY | known)?;
        for rule in rules {
            let found = match &self.root {
                Some(root) => path::open(root.as_fd(), rule.path, OFlags::PATH, Links::Follow)?,
                // Entered from outside, the root is the container's.
                None => openat(CWD, rule.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
            };
            let directory = FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Directory;
            let change = if rule.write { WRITE_FILE | WRITE_DIRECTORY | known } else { 0 };
            let file_only = READ_FILE | WRITE_FILE | TRUNCATE & known;
            ruleset.allow(&found, if directory { read | change } else { (read | change) & file_only })?;
        }
        ruleset.restrict()
    }

    /// Has the process that this one is going to execute confined under `label`, by a file of our own procfs.
    ///
    /// # Errors
    /// `ENOENT` for an AppArmor profile that is not loaded, `EINVAL` for a label that SELinux does not know.
    pub(super) fn set_label(&self, module: &str, label: &CStr) -> Result<()> {
        let (files, prefix) = if module == "apparmor" {
            ([c"proc/self/attr/apparmor/exec", c"proc/self/attr/exec"], "exec ")
        } else {
            ([c"proc/self/attr/selinux/exec", c"proc/self/attr/exec"], "")
        };
        let mut text = heapless::Vec::<u8, LABEL_CAPACITY>::new();
        text.extend_from_slice(prefix.as_bytes()).map_err(|_| Errno::NAMETOOLONG)?;
        text.extend_from_slice(label.to_bytes()).map_err(|_| Errno::NAMETOOLONG)?;
        let mut refused = Errno::NOENT;
        for file in files {
            match self.open_attribute(file) {
                Ok(file) => return write_whole(file, &text),
                Err(errno) => refused = errno,
            }
        }
        Err(refused)
    }

    fn open_attribute(&self, file: &CStr) -> Result<rustix::fd::OwnedFd> {
        let below =
            CStr::from_bytes_with_nul(file.to_bytes_with_nul().get(b"proc/".len()..).unwrap_or(b"\0"));
        let below = below.map_err(|_| Errno::INVAL)?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let opened = match &self.proc {
            Some(proc) => openat(proc, below, flags, Mode::empty())?,
            None => openat(
                openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
                file,
                flags,
                Mode::empty(),
            )?,
        };
        // What somebody mounted in its place would swallow the label.
        let magic = fstatfs(&opened)?.f_type as u64;
        if magic == u64::from(linux_raw_sys::general::PROC_SUPER_MAGIC) {
            Ok(opened)
        } else {
            Err(Errno::NODEV)
        }
    }
}
