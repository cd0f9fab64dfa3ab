//! Connects to a request's host: resolves the name once, checks each address, and connects to the very address that was
//! checked. The name is never resolved again, so a name server cannot change its answer after the check.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use fusebox_core::{
    capability::ports,
    limits::{HTTP_ADDRESSES_MAX, HTTP_CONNECT_MS_MAX},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::Host;

use super::{
    network::{Connected, Network, Permit},
    reach::{Closed, Reachable},
    refused::Refused,
    request::Outbound,
};

/// Connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects requests to their hosts.
pub(super) struct Connector {
    network: Arc<dyn Network>,
    reachable: Reachable,
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(
        network: Arc<dyn Network>,
        reachable: Reachable,
        roots: RootCertStore,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Resumption would let a server link the requests of different tenants.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { network, reachable, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Connects to the request's host. `held` is dropped when name resolution is over, even if the caller has stopped
    /// waiting.
    pub(super) async fn connect(&self, request: &Outbound, held: Permit) -> Result<Box<dyn Stream>, Refused> {
        if ports::is_blocked(request.port) {
            return Err(Refused::Port(request.port));
        }
        let denied = |denial| Refused::Denied(request.place(), denial);
        self.reachable.check_host(&request.name(), request.port).map_err(denied)?;
        let stream = self.connect_any(request, held).await?;
        if !request.is_tls {
            return Ok(Box::new(stream));
        }
        let name = match &request.host {
            Host::Domain(name) => ServerName::try_from(name.clone())
                .map_err(|_| Refused::Invalid("the URL's host cannot be the name in a certificate"))?,
            Host::Ipv4(address) => ServerName::IpAddress(IpAddr::V4(*address).into()),
            Host::Ipv6(address) => ServerName::IpAddress(IpAddr::V6(*address).into()),
        };
        match timeout(CONNECT_TIME, self.tls.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(unreachable(request, &error)),
            Err(_) => Err(Refused::TimedOut),
        }
    }

    /// Connects to the first reachable address that accepts.
    async fn connect_any(&self, request: &Outbound, held: Permit) -> Result<TcpStream, Refused> {
        let addresses = match &request.host {
            Host::Domain(name) => {
                self.network.resolve(name, held).await.map_err(|error| unreachable(request, &error))?
            }
            Host::Ipv4(address) => vec![(*address).into()],
            Host::Ipv6(address) => vec![(*address).into()],
        };
        let mut failed = Refused::Unreachable { host: request.name(), reason: "it has no address".to_owned() };
        let refused = |closed| match closed {
            Closed::Kind(kind) => Refused::Address { host: request.name(), kind },
            Closed::Denied(denial) => Refused::Denied(request.place(), denial),
        };
        let mut tried = 0;
        for address in addresses {
            if let Err(closed) = self.reachable.check(address) {
                // Reachable addresses still count: behind NAT64 each IPv4 address has a twin that is refused.
                if tried == 0 {
                    failed = refused(closed);
                }
                continue;
            }
            if tried == HTTP_ADDRESSES_MAX {
                break;
            }
            tried += 1;
            match timeout(CONNECT_TIME, self.network.connect(SocketAddr::new(address, request.port))).await {
                Ok(Ok(Connected { stream, own, peer })) => {
                    return self.reachable.check_connected(own, peer).map(|()| stream).map_err(refused);
                }
                Ok(Err(error)) => failed = unreachable(request, &error),
                Err(_) => failed = Refused::TimedOut,
            }
        }
        Err(failed)
    }
}

const CONNECT_TIME: Duration = Duration::from_millis(HTTP_CONNECT_MS_MAX);

fn unreachable(request: &Outbound, error: &io::Error) -> Refused {
    Refused::Unreachable { host: request.name(), reason: error.to_string() }
}
