//! Network access of egress: resolves names and connects to addresses. A seam, so that tests can supply a name server
//! that lies.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::net::TcpStream;

/// Resolves names and opens connections.
#[async_trait]
pub trait Network: Send + Sync {
    /// Returns all addresses of a name. `held` is dropped when the look-up is over, even if the caller has stopped
    /// waiting.
    async fn resolve(&self, name: &str, held: Permit) -> io::Result<Vec<IpAddr>>;

    /// Connects to exactly this address.
    async fn connect(&self, address: SocketAddr) -> io::Result<Connected>;
}

/// Value dropped when a look-up is over.
pub type Permit = Arc<dyn Send + Sync>;

/// Connection, with the addresses of both ends as the system reports them.
pub struct Connected {
    /// The connection.
    pub stream: TcpStream,
    /// Address of the local end.
    pub own: IpAddr,
    /// Address of the remote end.
    pub peer: IpAddr,
}

/// Network of this machine.
pub struct System;

#[async_trait]
impl Network for System {
    async fn resolve(&self, name: &str, held: Permit) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        let look_up = tokio::task::spawn_blocking(move || {
            // The system's resolver may take half a minute and cannot be interrupted.
            let found = (name.as_str(), 0).to_socket_addrs();
            drop(held);
            found.map(|addresses| addresses.map(|address| address.ip()).collect())
        });
        look_up.await.map_err(io::Error::other)?
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Connected> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (own, peer) = (stream.local_addr()?.ip(), stream.peer_addr()?.ip());
        Ok(Connected { stream, own, peer })
    }
}
