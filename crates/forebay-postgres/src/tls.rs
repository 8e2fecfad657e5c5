//! TLS by rustls: which certificates are trusted.

use std::path::Path;
use std::sync::Arc;

use forebay::{Error, ErrorKind, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connector that trusts the certificates in a file, or where none is named those of the system.
pub(crate) fn connector(root_certificate: Option<&Path>) -> Result<MakeRustlsConnect> {
    let mut roots = RootCertStore::empty();
    match root_certificate {
        Some(path) => trust_file(&mut roots, path)?,
        None => {
            // A system without certificates is found out, and said, when a server's is not trusted.
            for certificate in rustls_native_certs::load_native_certs().certs {
                let _ = roots.add(certificate);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed("TLS cannot be set up").because(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn trust_file(roots: &mut RootCertStore, path: &Path) -> Result<()> {
    let shown = path.display();
    let unreadable =
        |error| failed(format!("cannot read the root certificate {shown}")).because(error);
    let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    for certificate in certificates {
        let certificate = certificate.map_err(unreadable)?;
        roots.add(certificate).map_err(|error| {
            failed(format!("{shown} holds a certificate that cannot be used")).because(error)
        })?;
    }
    if roots.is_empty() {
        return Err(failed(format!(
            "{shown} holds no certificate: it must be a PEM file with BEGIN CERTIFICATE"
        )));
    }
    Ok(())
}

fn failed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Open, message)
}
