//! Who vouches for a registry that none of the usual certificate authorities vouches for.

use std::path::Path;
use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::error::{Doing, Error, Result};

/// The certificates that are trusted, and no others.
#[derive(Clone)]
pub struct Authorities(Arc<Vec<Certificate<'static>>>);

impl Authorities {
    /// Reads a file of certificates in PEM form; what else is in it, such as a key, is left alone.
    ///
    /// Fails when there is none, or something that ends early.
    pub fn read(path: &Path) -> Result<Authorities> {
        const READ: &str = "read the certificates in";
        let text = std::fs::read(path).doing(READ, || path.display())?;
        let mut certificates = Vec::new();
        for item in parse_pem(&text) {
            match item {
                Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
                Ok(_) => {}
                Err(_) => return Err(Error::refused(READ, path.display(), "it is damaged")),
            }
        }
        if certificates.is_empty() {
            return Err(Error::refused(READ, path.display(), "there is none in PEM form"));
        }
        Ok(Authorities(Arc::new(certificates)))
    }

    pub(super) fn roots(&self) -> RootCerts {
        RootCerts::Specific(Arc::clone(&self.0))
    }
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} certificates", self.0.len())
    }
}
