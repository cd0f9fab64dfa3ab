//! HTTPS: the server's certificate must lead to one of the host's roots.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio_rustls::TlsAcceptor;

use super::*;

const GET: &str = "GET https://a.example.com/\n\n";

/// Starts a server with a certificate for this name; returns the certificate too.
async fn server_as(name: &str) -> (SocketAddr, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![cert.der().clone()], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust this server closes the connection.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut byte = [0];
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|bytes| bytes > 0) {
                request.push(byte[0]);
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
            let _ = stream.shutdown().await;
        }
    });
    (address, cert.der().clone())
}

fn trusting(server: SocketAddr, roots: &[CertificateDer<'static>]) -> Egress {
    let mut store = RootCertStore::empty();
    roots.iter().for_each(|root| store.add(root.clone()).unwrap());
    Egress::new(Arc::new(network(server, &[&[PUBLIC]])), Reachable::default(), store).unwrap()
}

#[tokio::test]
async fn a_server_is_spoken_to_that_a_root_vouches_for() {
    let (server, certificate) = server_as("a.example.com").await;
    assert_eq!(send(&trusting(server, &[certificate]), GET).await.unwrap(), "200\ncontent-length: 6\n\nsecret");
}

#[tokio::test]
async fn any_other_is_not() {
    let (server, _) = server_as("a.example.com").await;
    let (other, other_certificate) = server_as("b.example.com").await;
    for egress in [
        trusting(server, &[]),
        trusting(server, std::slice::from_ref(&other_certificate)),
        trusting(other, &[other_certificate]),
    ] {
        let refused = send(&egress, GET).await.unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
        assert_eq!(refused.refusal(), Refusal::Unavailable);
    }
}

#[tokio::test]
async fn one_that_speaks_no_tls_is_not_available() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = trusting(listener.local_addr().unwrap(), &[]);
    let greeting = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.example.com ESMTP\r\n").await.unwrap();
        stream
    };
    let (refused, _stream) = tokio::join!(send(&egress, GET), greeting);
    assert!(matches!(refused, Err(Refused::Unreachable { .. })), "{refused:?}");
}
