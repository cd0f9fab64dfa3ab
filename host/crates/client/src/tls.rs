//! TLS settings of the client: the certificate authorities it trusts.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Certificate authorities trusted for a host's certificate.
#[derive(Clone, Copy, Debug)]
pub enum Authorities<'a> {
    /// None, for plain HTTP.
    None,
    /// The system's authorities.
    System,
    /// Only the authorities in a PEM file.
    File(&'a Path),
}

/// Builds the settings of a connection.
///
/// # Errors
/// Fails with a message that names the remedy if no authority can be read.
pub fn config(authorities: Authorities<'_>) -> Result<ClientConfig, String> {
    let roots = match authorities {
        Authorities::None => RootCertStore::empty(),
        Authorities::System => system()?,
        Authorities::File(path) => file(path)?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("this system has no certificate authorities: install ca-certificates, or use --ca FILE".to_owned());
    }
    Ok(roots)
}

fn file(path: &Path) -> Result<RootCertStore, String> {
    let named = |reason: String| format!("--ca {} {reason}", path.display());
    let bytes = std::fs::read(path).map_err(|error| named(format!("cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| named(format!("is not a PEM file: {error}")))?;
        roots.add(certificate).map_err(|error| named(format!("holds a certificate that cannot be read: {error}")))?;
    }
    if roots.is_empty() {
        return Err(named("holds no certificate: a PEM file with BEGIN CERTIFICATE is expected".to_owned()));
    }
    Ok(roots)
}
