//! TLS for REST: reads the certificate and its key from two PEM files, and again whenever they change, so that a
//! renewed certificate needs no restart. Open connections keep the certificate they started with.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

/// ALPN name of HTTP/2.
pub(super) const HTTP_2: &[u8] = b"h2";
/// Interval between checks of the files; SIGHUP checks at once.
const LOOK: Duration = Duration::from_secs(10);

/// Paths of the certificate and its key.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// PEM file: the host's certificate first, then the chain to a known authority.
    pub certificate: PathBuf,
    /// PEM file: the private key, not encrypted.
    pub key: PathBuf,
}

/// Reason why TLS cannot be used with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{what} {path} cannot be read: {error}", path = path.display())]
    Unreadable {
        /// Role of the file.
        what: Part,
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        error: io::Error,
    },
    /// A file has the wrong content.
    #[error("{what} {path} {wrong}", path = path.display())]
    Content {
        /// Role of the file.
        what: Part,
        /// Path of the file.
        path: PathBuf,
        /// Fault, and its remedy.
        wrong: String,
    },
    /// The files are valid, but do not belong together.
    #[error("the key {key} is not that of the first certificate in {certificate}: {error}",
        key = key.display(), certificate = certificate.display())]
    Mismatch {
        /// Path of the certificate.
        certificate: PathBuf,
        /// Path of the key.
        key: PathBuf,
        /// Error of rustls.
        error: rustls::Error,
    },
}

/// Role of one of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `--tls-cert`.
    Certificate,
    /// `--tls-key`.
    Key,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "the certificate (--tls-cert)",
            Self::Key => "the key (--tls-key)",
        })
    }
}

/// Modification time and size of both files. A renewal rewrites or replaces a file and changes them.
type Looks = [Option<(SystemTime, u64)>; 2];

/// TLS with the current content of the files.
pub struct Tls {
    files: TlsFiles,
    now: RwLock<(Looks, Arc<ServerConfig>)>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Fails if they do not hold a certificate and its key; the message names the file and the remedy.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let looks = looks(&files);
        let config = read(&files)?;
        Ok(Self { files, now: RwLock::new((looks, Arc::new(config))) })
    }

    /// Returns an acceptor for new connections.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        self.now.read().unwrap_or_else(PoisonError::into_inner).1.clone().into()
    }

    /// Checks the files at intervals and at SIGHUP. Never returns.
    pub async fn follow(&self) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        loop {
            let asked = async {
                match &mut hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            let forced = tokio::time::timeout(LOOK, asked).await.is_ok();
            self.look(forced);
        }
    }

    /// Reads the files again if they have changed. Invalid content is logged and the old certificate stays in use; a
    /// renewal that has written only one of the two files is complete at a later check.
    pub fn look(&self, forced: bool) {
        let found = looks(&self.files);
        let known = self.now.read().unwrap_or_else(PoisonError::into_inner).0;
        if found == known && !forced {
            return;
        }
        let read = read(&self.files);
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        now.0 = found;
        match read {
            Ok(config) => {
                now.1 = Arc::new(config);
                tracing::info!(certificate = %self.files.certificate.display(), "certificate reloaded");
            }
            Err(error) => tracing::error!(%error, "certificate not reloaded: the previous one stays in use"),
        }
    }
}

fn looks(files: &TlsFiles) -> Looks {
    [&files.certificate, &files.key].map(|path| {
        let found = fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len()))
    })
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let certificates = certificates(&files.certificate)?;
    let key = key(&files.key)?;
    let mismatch = |error| TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key.clone(), error };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(mismatch)?;
    config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |wrong: String| TlsError::Content { what: Part::Certificate, path: path.to_owned(), wrong };
    let bytes = bytes(Part::Certificate, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|error| wrong(format!("is not a PEM file: {error}")))?;
    if certificates.is_empty() {
        return Err(wrong("holds no certificate: a PEM file with BEGIN CERTIFICATE is expected".to_owned()));
    }
    Ok(certificates)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = bytes(Part::Key, path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let is_encrypted = bytes.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
        let wrong = match error {
            _ if is_encrypted => "is encrypted: write one that is not, with `openssl pkey -in OLD -out NEW`".to_owned(),
            pem::Error::NoItemsFound => {
                "holds no private key: a PEM file with BEGIN PRIVATE KEY is expected".to_owned()
            }
            error => format!("is not a PEM file: {error}"),
        };
        TlsError::Content { what: Part::Key, path: path.to_owned(), wrong }
    })
}

const ENCRYPTED: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";

fn bytes(what: Part, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Unreadable { what, path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(dir: &Path) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = TlsFiles { certificate: dir.join("cert.pem"), key: dir.join("key.pem") };
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    fn refusal(files: &TlsFiles) -> String {
        Tls::load(files.clone()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let files = pair(dir.path());
        assert!(Tls::load(files.clone()).is_ok());
        let absent = TlsFiles { certificate: dir.path().join("absent"), ..files.clone() };
        assert!(refusal(&absent).contains("absent cannot be read"), "{}", refusal(&absent));
        let swapped = TlsFiles { certificate: files.key.clone(), key: files.certificate.clone() };
        assert!(refusal(&swapped).contains("holds no certificate"), "{}", refusal(&swapped));
        let twice = TlsFiles { key: files.certificate.clone(), ..files.clone() };
        assert!(refusal(&twice).contains("holds no private key"), "{}", refusal(&twice));
        let other = tempfile::tempdir().unwrap();
        let mixed = TlsFiles { key: pair(other.path()).key, ..files.clone() };
        assert!(refusal(&mixed).contains("is not that of the first certificate"), "{}", refusal(&mixed));
        fs::write(&files.key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
            .unwrap();
        assert!(refusal(&files).contains("openssl pkey"), "{}", refusal(&files));
    }

    #[test]
    fn a_certificate_is_read_again_only_where_it_can_be_used() {
        let dir = tempfile::tempdir().unwrap();
        let files = pair(dir.path());
        let tls = Tls::load(files.clone()).unwrap();
        let config = |tls: &Tls| Arc::as_ptr(tls.acceptor().config());
        let first = config(&tls);
        tls.look(false);
        assert_eq!(config(&tls), first, "nothing has changed");
        fs::write(&files.certificate, "none, and of another length").unwrap();
        tls.look(false);
        assert_eq!(config(&tls), first, "the old one is better than none");
        pair(dir.path());
        tls.look(false);
        assert_ne!(config(&tls), first);
    }
}
