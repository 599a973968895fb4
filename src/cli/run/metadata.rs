//! What an image says about how it is to be run: its `config.json` (OCI image specification, "Image Configuration").
//!
//! It is data: it gives the command, the variables, the user, the directory and the stop signal where the command line
//! gives none, all of them inside the container. Whatever else it says (volumes, ports, labels) does nothing.

use super::{Checked, keep, user, workdir};
use crate::cli::message::Failure;
use crate::cli::signal;
use crate::oci::json::{self, Fault, Value};
use pipkin::spec::User;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What was said; empty where nothing was.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// What the command is given to.
    pub(super) entrypoint: Vec<&'static CStr>,
    /// The command when none is typed.
    pub(super) command: Vec<&'static CStr>,
    /// `NAME=VALUE` each.
    pub(super) environment: Vec<&'static CStr>,
    /// Who runs it.
    pub(super) user: Option<User<'static>>,
    /// Where it starts.
    pub(super) directory: Option<&'static CStr>,
    /// What asks it to end.
    pub(super) stop_signal: Option<u8>,
}

/// Reads the config of the image stored in `image`; none, if it has none.
pub(super) fn read(image: &Path) -> Checked<Metadata> {
    const READ: &str = "read the image's config";
    /// Registries take documents up to this length.
    const LONGEST: u64 = 4 << 20;
    let path = image.join("config.json");
    let name = path.as_os_str().as_bytes();
    let fail = |error: std::io::Error| Failure::io(READ, name, &error);
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Metadata::default()),
        Ok(found) if found.len() > LONGEST => return Err(Failure::new(READ, name, b"it is too long")),
        found => found.map_err(fail)?,
    };
    let text = std::fs::read(&path).map_err(fail)?;
    let understood = json::parse(&text).and_then(|document| understand(&document));
    understood.map_err(|fault| Failure::new(READ, name, fault.in_document(&text).as_bytes()))
}

fn understand(document: &Value<'_>) -> Result<Metadata, Fault> {
    let Some(config) = document.get("config")? else { return Ok(Metadata::default()) };
    let user = match filled(config, "User")? {
        Some(value) => Some(user(kept(value)?.to_str().unwrap_or_default()).map_err(|why| value.fault(why))?),
        None => None,
    };
    let directory = match filled(config, "WorkingDir")? {
        Some(value) => Some(workdir(value.text()?).map_err(|why| value.fault(why))?),
        None => None,
    };
    let stop_signal = match filled(config, "StopSignal")? {
        Some(value) => Some(signal::number(value.text()?).ok_or_else(|| value.fault("no such signal"))?),
        None => None,
    };
    Ok(Metadata {
        entrypoint: texts(config, "Entrypoint")?,
        command: texts(config, "Cmd")?,
        environment: texts(config, "Env")?,
        user,
        directory,
        stop_signal,
    })
}

/// The member `name`, if it says something.
fn filled<'v>(config: &'v Value<'v>, name: &str) -> Result<Option<&'v Value<'v>>, Fault> {
    Ok(match config.get(name)? {
        Some(value) if value.text()?.is_empty() => None,
        found => found,
    })
}

fn texts(config: &Value<'_>, name: &str) -> Result<Vec<&'static CStr>, Fault> {
    config.list(name)?.iter().map(kept).collect()
}

fn kept(value: &Value<'_>) -> Result<&'static CStr, Fault> {
    keep::text(value.text()?).ok_or_else(|| value.fault("it holds a NUL byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Metadata, Fault> {
        understand(&json::parse(text.as_bytes())?)
    }

    #[test]
    fn what_an_image_says_is_read() {
        let said =
            of(r#"{"architecture":"amd64","config":{"Entrypoint":["/e","-x"],"Cmd":["c"],"Env":["A=b"],
            "User":"www:80","WorkingDir":"/srv","StopSignal":"SIGQUIT","Volumes":{"/v":{}}}}"#)
            .unwrap();
        assert_eq!((said.entrypoint, said.command), (vec![c"/e", c"-x"], vec![c"c"]));
        assert_eq!((said.environment, said.directory), (vec![c"A=b"], Some(c"/srv")));
        assert_eq!((said.user, said.stop_signal), (User::parse(b"www:80"), Some(3)));
    }

    #[test]
    fn nothing_is_said_by_what_is_empty() {
        for text in
            ["{}", r#"{"config":null}"#, r#"{"config":{"User":"","Cmd":null,"WorkingDir":"","Env":[]}}"#]
        {
            let said = of(text).unwrap();
            assert!(said.command.is_empty() && said.user.is_none() && said.directory.is_none(), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "[]",
            r#"{"config":[]}"#,
            r#"{"config":{"Cmd":"sh"}}"#,
            r#"{"config":{"Env":[1]}}"#,
            r#"{"config":{"Env":["A=\u0000"]}}"#,
            r#"{"config":{"User":"a:b:c"}}"#,
            r#"{"config":{"WorkingDir":"srv"}}"#,
            r#"{"config":{"StopSignal":"SIGNOPE"}}"#,
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
