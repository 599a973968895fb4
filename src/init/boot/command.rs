//! What the machine was booted for: which program, with which arguments and environment, and its start.

use super::cmdline::Request;
use crate::error::Error;
use crate::init::payload;
use crate::sys::process::{StrArray, StrPtr};
use core::ffi::CStr;
use heapless::Vec;
use rustix::fs::{Access, access};
use rustix::io::Errno;

/// Most arguments and most environment strings.
const CAPACITY: usize = 256;
/// Where programs are looked for when the environment does not say it.
const PATH: &CStr = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CONFIGURED: &CStr = c"/etc/pipkin/init";
const SHELL: &CStr = c"/bin/sh";

/// A program and what it is given.
pub(super) struct Command<'a> {
    program: &'a CStr,
    argv: Vec<StrPtr<'a>, CAPACITY>,
    envp: Vec<StrPtr<'a>, CAPACITY>,
    path: &'a [u8],
}

impl<'a> Command<'a> {
    /// Decides what runs: `pipkin.exec` with the words given, the words themselves, `/etc/pipkin/init`, or a shell.
    /// None when there are more than 255 arguments or environment strings.
    pub(super) fn decide(words: &[&'a CStr], env: &[&'a CStr], request: &Request<'a>) -> Option<Self> {
        match (request.exec, words) {
            (Some(program), arguments) => Self::given(program, arguments, env, request),
            (None, [program, arguments @ ..]) => Self::given(program, arguments, env, request),
            (None, []) if access(CONFIGURED, Access::EXEC_OK).is_ok() => {
                Self::given(CONFIGURED, &[], env, request)
            }
            (None, []) => Self::shell(env, request),
        }
    }

    /// This program under its own name.
    pub(super) fn given(
        program: &'a CStr,
        arguments: &[&'a CStr],
        env: &[&'a CStr],
        request: &Request<'a>,
    ) -> Option<Self> {
        Self::new(program, program, arguments, env, request)
    }

    /// A login shell.
    pub(super) fn shell(env: &[&'a CStr], request: &Request<'a>) -> Option<Self> {
        Self::new(SHELL, c"-sh", &[], env, request)
    }

    fn new(
        program: &'a CStr,
        name: &'a CStr,
        arguments: &[&'a CStr],
        env: &[&'a CStr],
        request: &Request<'a>,
    ) -> Option<Self> {
        let mut argv = Vec::new();
        for argument in [name].iter().chain(arguments) {
            argv.push(StrPtr::new(argument)).ok()?;
        }
        argv.push(StrPtr::END).ok()?;
        let mut envp = Vec::new();
        let mut path = PATH;
        // The last one to name a variable has it: what the command line asks, what we were given, our own.
        let given =
            env.iter().filter(|pair| !request.env.iter().any(|asked| name_of(asked) == name_of(pair)));
        for pair in request.env.iter().chain(given) {
            if name_of(pair) == b"PATH" {
                path = pair;
            }
            envp.push(StrPtr::new(pair)).ok()?;
        }
        if path == PATH {
            envp.push(StrPtr::new(PATH)).ok()?;
        }
        envp.push(StrPtr::END).ok()?;
        let path = path.to_bytes().strip_prefix(b"PATH=").unwrap_or_default();
        Some(Self { program, argv, envp, path })
    }

    /// Becomes the program. Returns only when that failed.
    pub(super) fn exec(&self) -> Error {
        match (StrArray::new(&self.argv), StrArray::new(&self.envp)) {
            (Some(argv), Some(envp)) => payload::exec(self.program, argv, envp, self.path),
            _ => Error::on("execute", self.program.to_bytes(), Errno::INVAL),
        }
    }
}

fn name_of(pair: &CStr) -> &[u8] {
    pair.to_bytes().split(|byte| *byte == b'=').next().unwrap_or_default()
}
