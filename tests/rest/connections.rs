//! Connections over real sockets: slow clients are disconnected, the number of connections is limited, and a TLS server
//! survives a change of its certificate.

use std::{path::Path, sync::Arc, time::Duration};

use fusebox::rest::{
    server::{self, Bounds},
    tls::{Tls, TlsFiles},
};
use fusebox_core::limits::INPUT_BYTES_MAX;
use fusebox_harness::{Client, eventually};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{Rest, Slots};

/// Maximum wait for events that are expected soon, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const SHORT: Duration = Duration::from_millis(300);
/// Disconnects slow clients at once, but none that a test continues within its time.
const STRICT: Bounds = Bounds { connections: 8, trusted: &[], headers: SHORT, keep_alive: SHORT, stall: SHORT };

pub(crate) struct Served {
    address: String,
    pub(crate) rest: Rest,
    _stop: DropGuard,
}

pub(crate) async fn serve(bounds: Bounds, tls: Option<Arc<Tls>>) -> Served {
    serve_with(Slots::Echo, bounds, tls).await
}

/// Serves a host with these slots, and the public function `echo`.
pub(crate) async fn serve_with(slots: Slots, bounds: Bounds, tls: Option<Arc<Tls>>) -> Served {
    let rest = Rest::new(slots).with_echo().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    tokio::spawn(server::serve(listener, tls, rest.router(), bounds, stop.clone().cancelled_owned()));
    Served { address, rest, _stop: stop.drop_guard() }
}

impl Served {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    async fn is_well(&self) -> bool {
        let client = Client::new(format!("http://{}", self.address));
        client.get("/healthz").await.is_ok_and(|answer| answer.status.is_success())
    }
}

/// Waits until the peer closes the connection; returns what it sent before.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset ends it as well as an orderly close.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap();
    said
}

#[tokio::test]
async fn half_sent_headers_are_cut_off_and_cannot_keep_others_out() {
    let served = serve(STRICT, None).await;
    let mut slow = JoinSet::new();
    // More connections than allowed: the others wait in the backlog until these are closed.
    for number in 0..3 * STRICT.connections {
        let mut stream = served.connect().await;
        slow.spawn(async move {
            let half = ["", "GET", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: "][number % 3];
            // The connection may be closed before the write.
            let _ = stream.write_all(half.as_bytes()).await;
            closed(&mut stream).await
        });
    }
    assert!(served.is_well().await, "whoever waits behind them is answered");
    while let Some(said) = slow.join_next().await {
        let said = said.unwrap();
        assert!(!said.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test]
async fn one_that_takes_no_answer_is_cut_off() {
    let served = serve(Bounds { connections: 1, headers: 4 * PATIENCE, ..STRICT }, None).await;
    // A response larger than the buffers on both sides.
    let input = vec![b'x'; usize::try_from(INPUT_BYTES_MAX).unwrap()];
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(served.address.parse().unwrap()).await.unwrap();
    let head = format!(
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        input.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&input).await.unwrap();
    // Clients outside the reserve are served once this connection is gone.
    let client = Client::new(format!("http://{}", served.address));
    let answered =
        || async { client.get("/v1/functions").await.is_ok_and(|answer| answer.status.is_success()).then_some(()) };
    eventually("an answer", PATIENCE, answered).await.unwrap();
    let said = closed(&mut stream).await;
    assert!(said.len() < input.len(), "it was given everything: {} bytes", said.len());
}

pub(crate) fn certificate(dir: &Path) -> (TlsFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: dir.join("cert.pem"), key: dir.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.der().clone())
}

pub(crate) type Secured = tokio_rustls::client::TlsStream<TcpStream>;

async fn secured(served: &Served, trusted: &CertificateDer<'static>) -> std::io::Result<Secured> {
    secured_for(served, trusted, b"http/1.1").await
}

/// Opens a TLS connection that offers a single protocol.
pub(crate) async fn secured_for(
    served: &Served,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<Secured> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect("localhost".try_into().unwrap(), served.connect().await).await
}

async fn asks(stream: &mut Secured) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut said = vec![0; 4_096];
    let length = stream.read(&mut said).await.unwrap();
    String::from_utf8_lossy(&said[..length]).into_owned()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_who_comes_and_open_connections_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (files, old) = certificate(dir.path());
    let tls = Arc::new(Tls::load(files).unwrap());
    let served = serve(Bounds::default(), Some(tls.clone())).await;
    let mut open = secured(&served, &old).await.unwrap();
    assert_eq!(open.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(asks(&mut open).await.starts_with("HTTP/1.1 200"));
    let (_, new) = certificate(dir.path());
    tls.look(true);
    assert!(secured(&served, &old).await.is_err(), "the old certificate is shown no longer");
    let mut fresh = secured(&served, &new).await.unwrap();
    assert!(asks(&mut fresh).await.starts_with("HTTP/1.1 200"));
    assert!(asks(&mut open).await.starts_with("HTTP/1.1 200"), "what was open goes on");
}

#[tokio::test]
async fn who_speaks_no_tls_or_not_in_time_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (files, certificate) = certificate(dir.path());
    let served = serve(STRICT, Some(Arc::new(Tls::load(files).unwrap()))).await;
    for hello in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        let mut stream = served.connect().await;
        stream.write_all(hello).await.unwrap();
        assert!(!closed(&mut stream).await.starts_with(b"HTTP"));
    }
    let well = eventually("an answer", PATIENCE, || async {
        let mut stream = secured(&served, &certificate).await.ok()?;
        asks(&mut stream).await.starts_with("HTTP/1.1 200").then_some(())
    });
    well.await.unwrap();
    assert!(served.rest.readiness.is_ready());
}
