//! How REST meets the network, as the command line says it: TLS, and web pages that may read answers.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use crate::rest::{
    cors::{Cors, Origin},
    tls::{Tls, TlsFiles},
};

/// TLS and web pages.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "TLS and web pages")]
pub struct WebArgs {
    /// Speak https: the certificate and those that lead to its authority, in PEM; read again when it changes, or at SIGHUP
    #[arg(long, env = "FUSEBOX_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, env = "FUSEBOX_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Origins of web pages that may call this host, such as `https://app.example.com`; none where nothing is said
    #[arg(long, env = "FUSEBOX_CORS_ORIGIN", value_delimiter = ',', value_name = "ORIGIN")]
    pub cors_origin: Vec<Origin>,
}

impl WebArgs {
    /// What speaks TLS, where it is asked for.
    ///
    /// # Errors
    /// Where only one of the two files is given, or they cannot be used.
    pub fn tls(&self) -> anyhow::Result<Option<Arc<Tls>>> {
        match (self.tls_cert.clone(), self.tls_key.clone()) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(Arc::new(Tls::load(TlsFiles { certificate, key })?))),
            (Some(_), None) => anyhow::bail!("--tls-cert needs its key: add --tls-key FILE"),
            (None, Some(_)) => anyhow::bail!("--tls-key needs its certificate: add --tls-cert FILE"),
        }
    }

    /// Web pages that may read answers.
    #[must_use]
    pub fn cors(&self) -> Cors {
        Cors(self.cors_origin.clone())
    }
}

/// The scheme that a host's URL begins with.
#[must_use]
pub const fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}
